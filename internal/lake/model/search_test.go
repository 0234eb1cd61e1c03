package model

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// found is what a search found out.
type found struct {
	states, steps int
	// wrong is the first thing that must not be, and trace the shortest way to
	// it; "" if there is none.
	wrong, trace string
	// stuck is how many states there are from which the goal cannot be reached.
	stuck int
	// whole says that every reachable state was seen.
	whole bool
}

// search looks at every state that can be reached, the nearest first, until
// one is wrong or limit states were seen. With goal it also sees whether "all
// records published" stays within reach of every state.
//
// Of a state that was seen only 128 bits of hash are kept, so that tens of
// millions fit into memory. That two of them agree by accident is as likely as
// the machine being wrong.
func (c rules) search(records, faults uint8, limit int, goal bool) found {
	seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	key := func(s *state) [2]uint64 {
		return [2]uint64{maphash.Comparable(seeds[0], *s), maphash.Comparable(seeds[1], *s)}
	}
	first := state{head: head{published: true}, faults: faults}
	ids := map[[2]uint64]int32{key(&first): 0}
	came := []int32{-1} // from which state, the first time
	var edges [][2]int32
	var goals []int32
	f := found{states: 1}
	level := []state{first}
	for id := int32(0); len(level) > 0; {
		var next []state
		for i := range level {
			s := &level[i]
			if f.wrong = c.wrong(s, records); f.wrong != "" {
				f.trace = c.trace(first, records, came, id, ids, key)
				return f
			}
			if s.head.to == records && s.head.published {
				goals = append(goals, id)
			}
			c.steps(*s, records, func(t state, _ func() string) {
				f.steps++
				k := key(&t)
				to, ok := ids[k]
				if !ok {
					to = int32(len(came))
					ids[k] = to
					came = append(came, id)
					next = append(next, t)
				}
				if goal {
					edges = append(edges, [2]int32{id, to})
				}
			})
			id++
			f.states = len(came)
			if f.states > limit {
				return f
			}
		}
		level = next
	}
	f.whole = true
	if goal {
		f.stuck = len(came) - reach(goals, edges, len(came))
	}
	return f
}

// reach counts the states from which one of goals can be reached.
func reach(goals []int32, edges [][2]int32, states int) int {
	// The edges, by where they lead.
	begin := make([]int32, states+1)
	for _, e := range edges {
		begin[e[1]+1]++
	}
	for i := range states {
		begin[i+1] += begin[i]
	}
	from, place := make([]int32, len(edges)), append([]int32{}, begin...)
	for _, e := range edges {
		from[place[e[1]]] = e[0]
		place[e[1]]++
	}
	good := make([]bool, states)
	queue := append([]int32{}, goals...)
	for _, g := range goals {
		good[g] = true
	}
	n := len(goals)
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, f := range from[begin[at]:begin[at+1]] {
			if !good[f] {
				good[f] = true
				n++
				queue = append(queue, f)
			}
		}
	}
	return n
}

// trace tells how state id was reached, by going the way again.
func (c *rules) trace(s state, records uint8, came []int32, id int32, ids map[[2]uint64]int32, key func(*state) [2]uint64) string {
	var way []int32
	for at := id; at > 0; at = came[at] {
		way = append(way, at)
	}
	var b strings.Builder
	for i := len(way) - 1; i >= 0; i-- {
		var to *state
		c.steps(s, records, func(t state, what func() string) {
			if to == nil && ids[key(&t)] == way[i] {
				to = &t
				fmt.Fprintf(&b, "%3d %s\n", len(way)-i, what())
			}
		})
		s = *to
	}
	return b.String()
}
