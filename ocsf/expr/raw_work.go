package expr

import (
	"errors"
	"math"
	re2 "regexp/syntax"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"nagare/ocsf/rawjson"
)

// Work is what may be done for one event, in cel-go's units: about as many
// steps of a program. It is counted, not timed, so that an event that is too
// much is so on every machine and at every replay.
const Work = 10_000_000

// ProgramWork bounds what one evaluation of a program may do.
const ProgramWork = 250_000

// parseWork bounds what a program may do in one value that it parsed itself.
const parseWork = 1_000_000

// Of what costs less than a step of a program, so many are one unit.
const (
	nodesAUnit = 16 // looked at
	bytesAUnit = 64 // copied, or looked through
	textAUnit  = 16 // parsed as JSON, hashed

	searchAUnit = 256 // searched for a text
)

// evalUnits is what the shortest evaluation costs.
const evalUnits = 10

// errWork cancels an evaluation, as cel-go does at its own limit.
var errWork = interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "more work than one event may take"}

// spend takes from what is left, inside of a program, and ends it when nothing
// is. A nil v has no bound.
func (v *RawVars) spend(units int64) {
	if v == nil {
		return
	}
	if v.Left -= units; v.Left < 0 {
		panic(errWork)
	}
}

// spent takes what an evaluation cost. One that reached its own limit leaves
// nothing.
func (v *RawVars) spent(det *cel.EvalDetails, err error) {
	v.Left -= evalUnits
	var cancelled interpreter.EvalCancelledError
	if err != nil && errors.As(err, &cancelled) {
		v.Left = min(v.Left, 0) - 1
		return
	}
	if det != nil {
		if cost := det.ActualCost(); cost != nil {
			v.Left -= int64(min(*cost, math.MaxInt64/2))
		}
	}
}

// spendMember is for having looked for a member from an object's node up to
// the member's, or to the object's end.
func (n *rawNode) spendMember(to int32) {
	if to-n.at <= nodesAUnit {
		return
	}
	passed := int64(0)
	for k := n.at + 1; k < to; k = n.doc.Nodes[k].Next {
		passed++
	}
	n.vars.spend(passed / nodesAUnit)
}

// spendBytes is for a walk over all of a value.
func (n *rawNode) spendBytes() { n.vars.spend(NodeCost(n.doc, n.at)) }

// NodeCost is what it costs to look through, or copy, all of a value.
func NodeCost(d *rawjson.Doc, i int32) int64 {
	n := &d.Nodes[i]
	return int64(n.End-n.Start) / bytesAUnit
}

// TextCost is what it costs to look through, or copy, a text.
func TextCost(s string) int64 { return int64(len(s)) / bytesAUnit }

// SearchCost is what it costs to look for a short text in a long one.
func SearchCost(s string) int64 { return int64(len(s)) / searchAUnit }

// ParseCost is what it costs to read a text as JSON.
func ParseCost(s string) int64 { return int64(len(s)) / textAUnit }

// StepCost is what it costs to look at so many nodes.
func StepCost(nodes int) int64 { return int64(nodes) / nodesAUnit }

// Cost is what it costs to copy a value: for lists more than their length,
// since one list may name a large value many times.
func (v *RawValue) Cost() int64 {
	switch v.Kind {
	case RawNode:
		return NodeCost(v.Doc, v.Node)
	case RawText, RawJSON:
		return TextCost(v.Text)
	case RawList:
		cost := StepCost(len(v.Elements()))
		for i := range v.Elements() {
			cost += v.Elements()[i].Cost()
		}
		return cost
	}
	return 0
}

// PatternCost is what it costs to match a text with a pattern of a size, which
// is its own, with repetitions written out: time grows with both.
func PatternCost(text string, size int64) int64 { return int64(len(text)) * size / bytesAUnit }

// PatternSize is the size of a pattern, for PatternCost.
func PatternSize(pattern string) int64 {
	re, err := re2.Parse(pattern, re2.Perl)
	if err != nil {
		return int64(len(pattern))
	}
	return int64(patternSize(re))
}

// rawCosts tells cel-go what calls cost that it takes for constant.
type rawCosts struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (rawCosts) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	size := func(v ref.Val) int64 {
		s, _ := v.(types.String)
		return int64(len(s))
	}
	cost := int64(1)
	switch function {
	case "json", "sha256", "base64.decode", "base64.encode":
		cost += size(args[0]) / textAUnit
	case "regex.extract", "regex.extractAll", "regex.replace":
		pattern, _ := args[1].(types.String)
		text, _ := args[0].(types.String)
		cost += PatternCost(string(text), int64(len(pattern)))
	case "_+_":
		if size(result) == 0 {
			return nil
		}
		cost += size(result) / bytesAUnit
	case "split":
		// As many turns may a loop over the parts have: see rawIterator.Next.
		if parts, ok := result.(traits.Sizer); ok {
			n, _ := parts.Size().(types.Int)
			cost += int64(n) * int64(n) / 512
		}
		cost += size(args[0]) / bytesAUnit
	case "lowerAscii", "upperAscii", "trim", "join", "replace", "reverse", "indexOf", "lastIndexOf", "strings.quote", "format", "size", "inZone", "timeAs":
		cost += (size(args[0]) + size(result)) / bytesAUnit
	default:
		return nil
	}
	units := uint64(cost)
	return &units
}
