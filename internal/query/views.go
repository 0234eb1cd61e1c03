//go:build cgo && !nosql

package query

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The columns that come from the objects' names.
var partitions = []string{"region", "accountId", "eventDay"}

// ident quotes a name, text a string.
func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func text(s string) string  { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// viewSQL is the view of a class: the objects, if there are any, below an empty
// table with the class's columns. So a class without objects has its columns,
// and one whose older objects lack a column has nulls there.
func viewSQL(v View, lake string, objects bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE VIEW %s AS SELECT ", ident(v.Name))
	for i, c := range v.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "CAST(NULL AS %s) AS %s", c.Type, ident(c.Name))
	}
	for _, p := range partitions {
		fmt.Fprintf(&b, ", CAST(NULL AS VARCHAR) AS %s", ident(p))
	}
	b.WriteString(" WHERE false")
	if objects {
		b.WriteString(" UNION ALL BY NAME SELECT ")
		glob := filepath.ToSlash(lake) + "/ext/" + folder(v) + "/region=*/accountId=*/eventDay=*/*.parquet"
		// The types of region, accountId and eventDay must not depend on what
		// happens to be in them: an account may begin with a zero.
		fmt.Fprintf(&b, "* FROM read_parquet(%s, hive_partitioning = true, hive_types_autocast = false, union_by_name = true)", text(glob))
	}
	return b.String()
}

func folder(v View) string { return fmt.Sprintf("nagare_%d", v.UID) }

// hasObjects says whether the class has an object, as the view would find it.
func hasObjects(lake string, v View) bool {
	dirs := []string{filepath.Join(lake, "ext", folder(v))}
	for _, p := range partitions {
		var next []string
		for _, dir := range dirs {
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue // not there, most likely; a view that cannot be read says so itself
			}
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), p+"=") {
					next = append(next, filepath.Join(dir, e.Name()))
				}
			}
		}
		dirs = next
	}
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".parquet") && !strings.HasPrefix(e.Name(), ".") {
				return true
			}
		}
	}
	return false
}

// ActivityView names the view of who did what when: a row for each event of a
// class that says by whom it was done.
const ActivityView = "user_activity"

// activitySQL is that view: email (lower case, trimmed), time, class. A failed
// sign-in is no activity of the user: anybody can cause it.
func activitySQL(views []View) string {
	const head = "CREATE VIEW " + ActivityView + " AS "
	var parts []string
	for _, v := range views {
		who, where := "", ""
		switch {
		case v.Name == "user_inventory": // says that there is a user
		case v.Name == "authentication" && hasPath(v, "user", "email_addr"):
			who = `"user"`
			if hasPath(v, "status_id") {
				where = ` AND status_id IS DISTINCT FROM 2`
			}
		case hasPath(v, "actor", "user", "email_addr"):
			who = `"actor"."user"`
		}
		if who == "" || !hasPath(v, "time") {
			continue
		}
		parts = append(parts, fmt.Sprintf(`SELECT %s AS email, "time", %s AS class FROM %s WHERE %[1]s IS NOT NULL%[4]s`, email(who), text(v.Name), ident(v.Name), where))
	}
	if len(parts) == 0 {
		return head + `SELECT CAST(NULL AS VARCHAR) AS email, CAST(NULL AS BIGINT) AS "time", CAST(NULL AS VARCHAR) AS class WHERE false`
	}
	return head + strings.Join(parts, " UNION ALL ")
}

// email is the normalized address of a user; sources that have it in the name
// only are understood too.
func email(user string) string {
	return fmt.Sprintf(`lower(trim(coalesce(nullif(%s.email_addr, ''), CASE WHEN %[1]s.name LIKE '%%@%%' THEN %[1]s.name END)))`, user)
}

// hasPath says whether a view has a column, or a field of one.
func hasPath(v View, path ...string) bool {
	for _, c := range v.Columns {
		if c.Name != path[0] {
			continue
		}
		t, err := parseType(c.Type)
		for _, name := range path[1:] {
			if err != nil || t == nil {
				return false
			}
			t = t.field(name)
		}
		return err == nil && t != nil
	}
	return false
}

// field is the type of a struct's field; nil without one.
func (t *sqlType) field(name string) *sqlType {
	for _, f := range t.fields {
		if strings.EqualFold(f.name, name) {
			return f.typ
		}
	}
	return nil
}
