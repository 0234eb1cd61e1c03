package mapping

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// maxRepeated bounds what the aliases of a file repeat, in YAML nodes: keys
// and values. A few lines of aliases of aliases are more than a machine holds.
const maxRepeated = 100_000

// aliases checks that no alias is inside of what it names, and that they
// repeat no more than maxRepeated nodes together. It reports the first that
// does.
func (l *loader) aliases(file string, doc *yaml.Node) bool {
	a := aliased{size: map[*yaml.Node]int{}}
	if _, _, ok := a.count(doc); ok {
		return true
	}
	l.at(file, a.bad, a.code, a.message, a.suggestion)
	return false
}

// aliased counts what aliases repeat. Each node is looked at once, however
// often it is named.
type aliased struct {
	size map[*yaml.Node]int // of what has an anchor, with all it names; open while it is counted

	bad                       *yaml.Node
	code, message, suggestion string
}

const open = -1

// count returns how many nodes a node is, with what its aliases name in their
// place, and how many of these its aliases repeat.
func (a *aliased) count(n *yaml.Node) (size, repeated int, ok bool) {
	if n.Kind == yaml.AliasNode {
		size, known := a.size[n.Alias]
		if size == open {
			return a.fail(n, "alias-cycle", fmt.Sprintf("*%s is inside of what it names", n.Value), "")
		}
		if !known { // the parser knows no alias before its anchor
			if size, _, ok = a.count(n.Alias); !ok {
				return 0, 0, false
			}
		}
		return size, size, a.within(n, size)
	}
	if n.Anchor != "" {
		a.size[n] = open
	}
	size = 1
	for _, c := range n.Content {
		s, r, ok := a.count(c)
		if !ok {
			return 0, 0, false
		}
		size, repeated = size+s, repeated+r
		if !a.within(c, repeated) {
			return 0, 0, false
		}
	}
	if n.Anchor != "" {
		a.size[n] = size
	}
	return size, repeated, true
}

func (a *aliased) within(n *yaml.Node, repeated int) bool {
	if repeated <= maxRepeated {
		return true
	}
	a.fail(n, "too-large", fmt.Sprintf("aliases repeat more than %d keys and values up to here", maxRepeated), "a table, or an entry for several kinds of events, says the same in less")
	return false
}

func (a *aliased) fail(n *yaml.Node, code, message, suggestion string) (int, int, bool) {
	a.bad, a.code, a.message, a.suggestion = n, code, message, suggestion
	return 0, 0, false
}
