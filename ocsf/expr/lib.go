package expr

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

// The libraries of cel-go that expressions may use. Package mapping's
// environment takes them one by one, because it has macros of its own.
var (
	libStrings  = ext.Strings()
	libLists    = ext.Lists()
	libSets     = ext.Sets()
	libMath     = ext.Math()
	libEncoders = ext.Encoders()
	libNetwork  = ext.Network()
	libRegex    = ext.Regex()
	libBindings = ext.Bindings()
)

// Library is what expressions have besides CEL itself: text, lists, sets,
// mathematics, encodings, addresses and networks, regular expressions,
// cel.bind, and the optional values that some of these return.
func Library() []cel.EnvOption {
	return []cel.EnvOption{cel.OptionalTypes(), libStrings, libLists, libSets, libMath, libEncoders, libNetwork, libRegex, libBindings}
}
