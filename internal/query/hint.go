//go:build cgo && !nosql

package query

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	noTable  = regexp.MustCompile(`Table with name (\S+) does not exist`)
	noColumn = regexp.MustCompile(`Referenced column "([^"]+)" not found`)
	noField  = regexp.MustCompile(`Could not find key "([^"]+)" in struct`)
	outside  = regexp.MustCompile(`Cannot access (file|directory)`)
)

// hint adds to the engine's message what it does not know: the views and
// columns that would be right.
func hint(message string, views []View) string {
	switch {
	case outside.MatchString(message):
		return "queries see the lake and nothing else"
	case noTable.MatchString(message):
		name := noTable.FindStringSubmatch(message)[1]
		var names []string
		for _, v := range views {
			names = append(names, v.Name)
		}
		if best := nearest(name, names); best != "" {
			return fmt.Sprintf("the nearest view is %s; SHOW TABLES lists all", best)
		}
		return "views are OCSF classes: SHOW TABLES lists them"
	case noColumn.MatchString(message):
		return columnHint(noColumn.FindStringSubmatch(message)[1], views)
	case noField.MatchString(message):
		return columnHint(noField.FindStringSubmatch(message)[1], views)
	}
	return ""
}

func columnHint(name string, views []View) string {
	var names []string
	seen := map[string]bool{}
	for _, v := range views {
		for _, c := range v.Columns {
			if seen[c.Name+c.Type] {
				continue
			}
			seen[c.Name+c.Type] = true
			names = append(names, c.Name)
			if t, err := parseType(c.Type); err == nil {
				names = append(names, paths(c.Name, t)...)
			}
		}
	}
	// The last part of a path is what people misspell, or forget the rest of.
	best, distance := "", len(name)/3+1
	for _, n := range names {
		last := n[strings.LastIndexByte(n, '.')+1:]
		if d := editDistance(strings.ToLower(name), last); d < distance || d == distance && best != "" && len(n) < len(best) {
			best, distance = n, d
		}
	}
	if best == "" {
		return "DESCRIBE VIEW_NAME lists the columns"
	}
	return "did you mean " + best + "? DESCRIBE VIEW_NAME lists the columns"
}

// paths are the dotted names of a struct's fields; the elements of lists are
// not reached so.
func paths(prefix string, t *sqlType) []string {
	var out []string
	for _, f := range t.fields {
		out = append(out, prefix+"."+f.name)
		out = append(out, paths(prefix+"."+f.name, f.typ)...)
	}
	return out
}

// nearest is the name with the fewest edits, if there are few.
func nearest(name string, names []string) string {
	best, distance := "", len(name)/3+2
	for _, n := range names {
		if d := editDistance(strings.ToLower(name), n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// editDistance is Levenshtein's, of names that are short.
func editDistance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			next := min(row[j]+1, row[j-1]+1)
			if a[i-1] == b[j-1] {
				next = min(next, diagonal)
			} else {
				next = min(next, diagonal+1)
			}
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
