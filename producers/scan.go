package producers

import (
	"errors"
	"fmt"
)

// What scanValue finds wrong.
var (
	errMore    = errors.New("the text ends inside a value")
	errTooDeep = errors.New("nested too deep")
	errNoValue = errors.New("no value begins here")
)

// scanValue returns the end of the JSON value that starts at b[0], checking
// all of its syntax. It does not build anything. Strings may hold bytes that
// are not UTF-8 and lone surrogates: senders do cut texts, and a mapping can
// cope.
//
// errMore says that more text may complete the value; a number at the end of b
// counts as complete. Any other error is final, and the offset is where it was
// noticed.
func scanValue(b []byte, maxDepth int) (int, error) {
	// One bit per level would do, but a stack of bytes is as quick.
	stack := make([]byte, 0, 64)
	i := 0
	for {
		// A value is expected.
		i = skipSpace(b, i)
		if i == len(b) {
			return i, errMore
		}
		switch c := b[i]; {
		case c == '{':
			if len(stack) == maxDepth {
				return i, errTooDeep
			}
			i = skipSpace(b, i+1)
			if i == len(b) {
				return i, errMore
			}
			if b[i] != '}' {
				stack = append(stack, '}')
				n, err := scanKey(b, i)
				if err != nil {
					return n, err
				}
				i = n
				continue
			}
			i++
		case c == '[':
			if len(stack) == maxDepth {
				return i, errTooDeep
			}
			i = skipSpace(b, i+1)
			if i == len(b) {
				return i, errMore
			}
			if b[i] != ']' {
				stack = append(stack, ']')
				continue
			}
			i++
		case c == '"':
			n, err := scanString(b, i)
			if err != nil {
				return n, err
			}
			i = n
		default:
			n, err := scanScalar(b, i)
			if err != nil {
				return n, err
			}
			i = n
		}
		// A value has ended: close what ends with it, or find the next one.
		for {
			if len(stack) == 0 {
				return i, nil
			}
			i = skipSpace(b, i)
			if i == len(b) {
				return i, errMore
			}
			end := stack[len(stack)-1]
			if b[i] == end {
				stack = stack[:len(stack)-1]
				i++
				continue
			}
			if b[i] != ',' {
				return i, unexpected(b[i], "a comma or '"+string(end)+"'")
			}
			i = skipSpace(b, i+1)
			if i == len(b) {
				return i, errMore
			}
			if end == '}' {
				n, err := scanKey(b, i)
				if err != nil {
					return n, err
				}
				i = n
			}
			break
		}
	}
}

func unexpected(c byte, want string) error {
	return fmt.Errorf("%q where %s should be", c, want)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// scanKey reads a member's name and its colon.
func scanKey(b []byte, i int) (int, error) {
	if b[i] != '"' {
		return i, unexpected(b[i], "a member's name")
	}
	i, err := scanString(b, i)
	if err != nil {
		return i, err
	}
	i = skipSpace(b, i)
	if i == len(b) {
		return i, errMore
	}
	if b[i] != ':' {
		return i, unexpected(b[i], "a colon")
	}
	return i + 1, nil
}

func scanString(b []byte, i int) (int, error) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return i, fmt.Errorf("control character %q in a string", c)
		case c == '\\':
			i++
			if i == len(b) {
				return i, errMore
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					i++
					if i == len(b) {
						return i, errMore
					}
					if !isHex(b[i]) {
						return i, unexpected(b[i], "a hexadecimal digit")
					}
				}
			default:
				return i, unexpected(b[i], "an escape")
			}
		}
	}
	return i, errMore
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func scanScalar(b []byte, i int) (int, error) {
	switch b[i] {
	case 't':
		return scanWord(b, i, "true")
	case 'f':
		return scanWord(b, i, "false")
	case 'n':
		return scanWord(b, i, "null")
	}
	return scanNumber(b, i)
}

func scanWord(b []byte, i int, word string) (int, error) {
	for k := range len(word) {
		if i+k == len(b) {
			return i + k, errMore
		}
		if b[i+k] != word[k] {
			return i + k, unexpected(b[i+k], word)
		}
	}
	return i + len(word), nil
}

func scanNumber(b []byte, i int) (int, error) {
	digits := func() error {
		if i == len(b) {
			return errMore
		}
		if b[i] < '0' || b[i] > '9' {
			return unexpected(b[i], "a value")
		}
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return nil
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if err := digits(); err != nil {
		return i, err
	}
	if i < len(b) && b[i] == '.' {
		i++
		if err := digits(); err != nil {
			return i, err
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if err := digits(); err != nil {
			return i, err
		}
	}
	return i, nil
}
