package mapping

import (
	"slices"
	"strings"
)

// Names counts by name, so many names at most: what a source sends must not
// fill the memory. A name is copied when it is new.
type Names struct{ m map[string]*int64 }

// Others is the name under which the rest is counted once a Names is full.
const Others = "(others)"

// maxNames is how many names are counted apart, maxName how long one may be.
const (
	maxNames = 1000
	maxName  = 200
)

// Add adds to the count of a name.
func (c *Names) Add(name string, n int64) {
	p := c.m[name]
	if p == nil {
		if c.m == nil {
			c.m = map[string]*int64{}
		}
		name = strings.ToValidUTF8(clip(name, maxName), "\ufffd")
		if p = c.m[name]; p == nil && len(c.m) >= maxNames {
			name = Others
			p = c.m[name]
		}
		if p == nil {
			p = new(int64)
			c.m[strings.Clone(name)] = p
		}
	}
	*p += n
}

// Map returns the counts.
func (c *Names) Map() map[string]int64 {
	out := make(map[string]int64, len(c.m))
	for k, n := range c.m {
		out[k] += *n
	}
	return out
}

// A NameCount is one count of a Names.
type NameCount struct {
	Name  string
	Count int64
}

// Top returns the largest counts, at most n of them.
func (c *Names) Top(n int) []NameCount {
	var out []NameCount
	for k, v := range c.m {
		out = append(out, NameCount{k, *v})
	}
	slices.SortFunc(out, func(a, b NameCount) int {
		if a.Count != b.Count {
			return int(b.Count - a.Count)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out[:min(n, len(out))]
}
