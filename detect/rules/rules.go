// Package rules holds the rule pack that is built in, a folder an area.
// Package detect reads it.
package rules

import "embed"

// FS has the rule files.
//
//go:embed */*.yaml
var FS embed.FS
