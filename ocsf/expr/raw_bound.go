package expr

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// cel-go counts what a call cost when it is done. A few calls make much more
// than they are given, so that one is enough to fill the memory: these say what
// they will cost, and are not begun when a program may not do as much.

// bounds are the functions that ask first, and what a call will cost. A large
// answer may stop counting at ProgramWork.
func bounds() map[string]func(args []ref.Val) int64 {
	return map[string]func(args []ref.Val) int64{
		"replace": func(args []ref.Val) int64 {
			s, old, by := textOf(args[0]), textOf(args[1]), textOf(args[2])
			return (int64(len(s)) + int64(strings.Count(s, old))*int64(len(by))) / bytesAUnit
		},
		"regex.replace": func(args []ref.Val) int64 {
			// As often as there are places for it. What a reference stands for is
			// no longer than the text, and a reference takes two bytes.
			return (int64(len(textOf(args[0]))) + 1) * int64(len(textOf(args[2]))) / bytesAUnit
		},
		"join": func(args []ref.Val) int64 {
			sep := 0
			if len(args) > 1 {
				sep = len(textOf(args[1]))
			}
			return sumOf(args[0], func(v ref.Val) int64 { return int64(len(textOf(v)) + sep) })
		},
		"format": func(args []ref.Val) int64 {
			if hugePrecision(textOf(args[0])) {
				return ProgramWork + 1
			}
			return sumOf(args[1], sizeOf)
		},
		"lists.range": func(args []ref.Val) int64 {
			n, _ := args[0].(types.Int)
			return int64(n)
		},
		"flatten": func(args []ref.Val) int64 {
			depth := int64(1)
			if len(args) > 1 {
				d, _ := args[1].(types.Int)
				depth = int64(d)
			}
			return elementsOf(args[0], depth, 0)
		},
		"distinct": func(args []ref.Val) int64 { n := countOf(args[0]); return product(n, n) },
		"slice":    func(args []ref.Val) int64 { return countOf(args[0]) },
		"reverse":  func(args []ref.Val) int64 { return countOf(args[0]) },

		"sets.contains":   func(args []ref.Val) int64 { return product(countOf(args[0]), countOf(args[1])) },
		"sets.equivalent": func(args []ref.Val) int64 { return product(countOf(args[0]), countOf(args[1])) },
		"sets.intersects": func(args []ref.Val) int64 { return product(countOf(args[0]), countOf(args[1])) },
	}
}

// bounded declares these functions again, for an environment that has them.
func bounded(env *cel.Env) ([]cel.EnvOption, error) {
	var opts []cel.EnvOption
	known := env.Functions()
	for name, cost := range bounds() {
		fn := known[name]
		bindings, err := fn.Bindings()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		do := map[string]func(...ref.Val) ref.Val{}
		for _, b := range bindings {
			do[b.Operator] = anyArity(b)
		}
		// What is called checks its arguments, as much as cel-go wants it to: a
		// list of one text may be flattened.
		overloads := []cel.FunctionOpt{decls.DisableTypeGuards(true)}
		for _, o := range fn.OverloadDecls() {
			call := do[o.ID()]
			if call == nil {
				return nil, fmt.Errorf("%s: cel-go does not tell what %s does", name, o.ID())
			}
			ask := cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				if cost(args) > ProgramWork {
					panic(errWork)
				}
				return call(args...)
			})
			// cel-go wants a binding of the arity.
			switch len(o.ArgTypes()) {
			case 1:
				ask = cel.UnaryBinding(func(a ref.Val) ref.Val {
					if cost([]ref.Val{a}) > ProgramWork {
						panic(errWork)
					}
					return call(a)
				})
			case 2:
				ask = cel.BinaryBinding(func(a, b ref.Val) ref.Val {
					if cost([]ref.Val{a, b}) > ProgramWork {
						panic(errWork)
					}
					return call(a, b)
				})
			}
			if o.IsMemberFunction() {
				overloads = append(overloads, cel.MemberOverload(o.ID(), o.ArgTypes(), o.ResultType(), ask))
			} else {
				overloads = append(overloads, cel.Overload(o.ID(), o.ArgTypes(), o.ResultType(), ask))
			}
		}
		opts = append(opts, cel.Function(name, overloads...))
	}
	return opts, nil
}

func anyArity(o *functions.Overload) func(...ref.Val) ref.Val {
	switch {
	case o.Unary != nil:
		return func(args ...ref.Val) ref.Val { return o.Unary(args[0]) }
	case o.Binary != nil:
		return func(args ...ref.Val) ref.Val { return o.Binary(args[0], args[1]) }
	case o.Function != nil:
		return o.Function
	}
	return nil
}

func textOf(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// sizeOf is about how long a value is as text.
func sizeOf(v ref.Val) int64 {
	if s, ok := v.(types.String); ok {
		return int64(len(s))
	}
	if b, ok := v.(types.Bytes); ok {
		return 4 * int64(len(b))
	}
	val := valueOf(v)
	return 32 + val.Cost()*bytesAUnit
}

func countOf(v ref.Val) int64 {
	s, ok := v.(traits.Sizer)
	if !ok {
		return 0
	}
	n, _ := s.Size().(types.Int)
	return int64(n)
}

// product is what comparing each with each costs.
func product(a, b int64) int64 {
	if a > 64*ProgramWork || b > 64*ProgramWork {
		return ProgramWork + 1
	}
	return max(a*b/64, a, b)
}

// sumOf adds up the elements of a list, which are texts to be written.
func sumOf(list ref.Val, size func(ref.Val) int64) int64 {
	l, ok := list.(traits.Lister)
	if !ok {
		return 0
	}
	n := countOf(list)
	if n > ProgramWork {
		return n
	}
	sum := int64(0)
	for it := l.Iterator(); it.HasNext() == types.True; {
		if sum += size(it.Next()); sum/bytesAUnit > ProgramWork {
			break
		}
	}
	return sum / bytesAUnit
}

// elementsOf counts the elements of lists in lists.
func elementsOf(v ref.Val, depth, before int64) int64 {
	l, ok := v.(traits.Lister)
	if !ok {
		return before + 1
	}
	if depth <= 0 {
		return before + countOf(v)
	}
	for it := l.Iterator(); it.HasNext() == types.True && before <= ProgramWork; {
		if e := it.Next(); depth == 1 {
			before += max(countOf(e), 1)
		} else {
			before = elementsOf(e, depth-1, before+1)
		}
	}
	return before
}

// hugePrecision says whether a text for format asks for more than 99 digits.
func hugePrecision(s string) bool {
	for {
		_, rest, ok := strings.Cut(s, "%.")
		if !ok {
			return false
		}
		if digits := len(rest) - len(strings.TrimLeft(rest, "0123456789")); digits > 2 {
			return true
		}
		s = rest
	}
}
