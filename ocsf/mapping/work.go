package mapping

import (
	"fmt"

	"nagare/ocsf/expr"
)

// One event may take so much work and no more: each program, and all of its
// programs, rows and searches together. Work is counted in steps, so whether an
// event is too much depends on its bytes and the file alone. What is done once
// for all of an event, as reading it, needs no count: an event has a size.

// A tooMuch ends the mapping of an event. It is thrown, because what finds it
// may be deep in a loop, and caught where the event is begun.
type tooMuch struct{ line int }

// caught turns a tooMuch into what the event is dead for. It is for defer.
func (r *run) caught(dead **Dead) {
	p := recover()
	if p == nil {
		return
	}
	much, ok := p.(tooMuch)
	if !ok {
		panic(p)
	}
	r.vars.VarName, r.vars.Var = "", expr.RawValue{}
	*dead = &Dead{TooCostly, fmt.Errorf("line %d of %s is too much work for this event: more than %d units in one expression, or %d in all", much.line, r.m.File, expr.ProgramWork, expr.Work)}
}

// within ends the event when nothing is left for it.
func (r *run) within(line int) {
	if r.vars.Left < 0 {
		panic(tooMuch{line})
	}
}

// spend takes units from what is left, before they are done.
func (r *run) spend(units int64, line int) {
	if r.vars.Left -= units; r.vars.Left < 0 {
		panic(tooMuch{line})
	}
}

// eval runs a program and notes what it read.
func (r *run) eval(p *expr.RawProgram, line int) expr.RawValue {
	r.vars.Touched = r.vars.Touched[:0]
	v := p.Eval(r.vars)
	r.spend(v.Cost(), line)
	r.pendTouched(&v, line)
	return v
}

// holds asks a program.
func (r *run) holds(p *expr.RawProgram, line int) tri {
	is, failed := p.EvalBool(r.vars)
	r.within(line)
	if failed {
		return fail
	}
	return truth(is)
}

// inEach says whether what is compiled belongs to the rows of an each.
func (c *compiler) inEach() bool { return c.raw != nil && c.raw.Scope != "" }

// again makes a finder of what lies outside of an each's elements one that
// pays for each time: what a row says of it is as long as it is.
func (c *compiler) again(find finder) finder {
	if !c.inEach() {
		return find
	}
	line := c.line
	return func(r *run) (expr.RawValue, bool) {
		v, ok := find(r)
		if ok && v.Kind == expr.RawNode {
			r.spend(expr.NodeCost(v.Doc, v.Node), line)
		}
		return v, ok
	}
}
