package expr

import "github.com/google/cel-go/ext"

// The libraries of cel-go that expressions may use.
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
