package app

import (
	"crypto/sha256"
	"encoding/hex"
)

// mappingVersion names the version of a source's mapping: a hash of its file,
// and of the files that are no source's own and may be included by it.
func (c *core) mappingVersion(source string) string {
	m, ok := c.mappings.Source(source)
	if !ok {
		return "none"
	}
	own := map[string]bool{}
	for _, name := range c.mappings.Sources() {
		if other, ok := c.mappings.Source(name); ok {
			own[other.File] = true
		}
	}
	h := sha256.New()
	for _, f := range c.mappingFiles {
		if f.name == m.File || !own[f.name] {
			h.Write(f.data)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}
