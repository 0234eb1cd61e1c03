package query

import (
	"fmt"
	"strings"
)

// A sqlType is a type as the engine writes it: VARCHAR, DECIMAL(18,3),
// STRUCT("a" INTEGER, "b" VARCHAR[])[], MAP(VARCHAR, VARCHAR). Values alone do
// not tell the order of a struct's fields, nor a date from a timestamp.
type sqlType struct {
	kind   string // without arguments; LIST for X[]
	fields []field
	elem   *sqlType // of a list; the value of a map
	key    *sqlType // of a map
}

type field struct {
	name string
	typ  *sqlType
}

// maxTypeDepth bounds the nesting of a type.
const maxTypeDepth = 64

// parseType reads the text of a type.
func parseType(s string) (*sqlType, error) {
	p := &typeParser{rest: s}
	t, err := p.parse(0)
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("unexpected %q", p.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("type %.80q: %w", s, err)
	}
	return t, nil
}

type typeParser struct{ rest string }

func (p *typeParser) parse(depth int) (*sqlType, error) {
	if depth > maxTypeDepth {
		return nil, fmt.Errorf("more than %d levels", maxTypeDepth)
	}
	p.rest = strings.TrimLeft(p.rest, " ")
	n := 0
	for n < len(p.rest) && (isWord(p.rest[n]) || p.rest[n] == ' ') {
		n++
	}
	t := &sqlType{kind: strings.ToUpper(strings.TrimSpace(p.rest[:n]))}
	p.rest = p.rest[n:]
	if t.kind == "" {
		return nil, fmt.Errorf("a type is missing at %.20q", p.rest)
	}
	if p.take("(") {
		if err := p.arguments(t, depth); err != nil {
			return nil, err
		}
	}
	for p.take("[") {
		i := strings.IndexByte(p.rest, ']')
		if i < 0 {
			return nil, fmt.Errorf("a ] is missing")
		}
		p.rest = p.rest[i+1:]
		t = &sqlType{kind: "LIST", elem: t}
	}
	return t, nil
}

func (p *typeParser) arguments(t *sqlType, depth int) error {
	var err error
	switch t.kind {
	case "MAP":
		if t.key, err = p.parse(depth + 1); err != nil {
			return err
		}
		if !p.take(",") {
			return fmt.Errorf("a map needs two types")
		}
		if t.elem, err = p.parse(depth + 1); err != nil {
			return err
		}
	case "STRUCT", "UNION":
		for {
			name, err := p.name()
			if err != nil {
				return err
			}
			typ, err := p.parse(depth + 1)
			if err != nil {
				return err
			}
			t.fields = append(t.fields, field{name, typ})
			if !p.take(",") {
				break
			}
		}
	default: // DECIMAL(18,3), ENUM('a', 'b'): nothing in it for us
		quoted := false
		for i := range len(p.rest) {
			switch {
			case p.rest[i] == '\'':
				quoted = !quoted
			case p.rest[i] == ')' && !quoted:
				p.rest = p.rest[i+1:]
				return nil
			}
		}
	}
	if !p.take(")") {
		return fmt.Errorf("a ) is missing at %.20q", p.rest)
	}
	return nil
}

// name reads a field's name, quoted or not.
func (p *typeParser) name() (string, error) {
	p.rest = strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(p.rest, `"`) {
		n := 0
		for n < len(p.rest) && isWord(p.rest[n]) {
			n++
		}
		if n == 0 {
			return "", fmt.Errorf("a name is missing at %.20q", p.rest)
		}
		name := p.rest[:n]
		p.rest = p.rest[n:]
		return name, nil
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		if p.rest[i] != '"' {
			b.WriteByte(p.rest[i])
			continue
		}
		if i+1 < len(p.rest) && p.rest[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		p.rest = p.rest[i+1:]
		return b.String(), nil
	}
	return "", fmt.Errorf("a name has no end")
}

func (p *typeParser) take(s string) bool {
	p.rest = strings.TrimLeft(p.rest, " ")
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
