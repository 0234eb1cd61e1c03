// Package mappings holds the mapping files that are built in, one a source,
// and the cases that test them. Package mapping reads them.
package mappings

import "embed"

// FS has every mapping file at its top, and the cases below testdata.
//
//go:embed *.yaml testdata
var FS embed.FS
