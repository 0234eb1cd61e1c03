// Package model checks the protocol by which a shard's records come into the
// lake, exhaustively: every order in which two workers, a collector of
// orphans, late requests and crashes can act on a few records.
//
// It has tests only and knows nothing of the program. The program follows the
// same steps (internal/lake: F0 to F5), and this is why these steps: with all
// guards each record is in the lake once, and with any one of them away the
// search finds how it is not.
package model

import "fmt"

// The sizes of the world. They bound the packing below.
const (
	workers    = 2
	parts      = 2 // record r is in part r%2 of its commit
	maxRecords = 3
	maxFaults  = 2
)

// head is the ledger row: commit n took the records in (from, to], as attempt,
// and is published or not.
type head struct {
	n, from, to, attempt uint8
	published            bool
}

// obj is a stored object, packed: the part of one commit that an attempt
// wrote. It is never 0, because it holds a record.
type obj uint16

func object(n, from, to, attempt, part uint8) obj {
	return obj(n)<<9 | obj(from)<<7 | obj(to)<<5 | obj(attempt)<<1 | obj(part)
}

func (o obj) n() uint8       { return uint8(o >> 9 & 7) }
func (o obj) from() uint8    { return uint8(o >> 7 & 3) }
func (o obj) to() uint8      { return uint8(o >> 5 & 3) }
func (o obj) attempt() uint8 { return uint8(o >> 1 & 15) }
func (o obj) part() uint8    { return uint8(o & 1) }

// The kinds of requests that change something under a condition.
const (
	commit = 1 + iota // F3
	put               // F4, one object
	mark              // F5
)

// request is one on its way, packed: kind, whom it answers, and an object's
// fields. Whoever sent it may have crashed since; then it answers nobody.
type request uint32

const nobody = workers

func ask(kind, by uint8, o obj) request {
	return request(kind)<<18 | request(by)<<16 | request(o)
}

func (r request) kind() uint8 { return uint8(r >> 18) }
func (r request) by() uint8   { return uint8(r >> 16 & 3) }
func (r request) obj() obj    { return obj(r) }

// Where a worker is in its protocol.
const (
	idle       = iota
	reading    // F1: has n and from
	staging    // F2: puts part after part
	committing // F3 is to be sent
	waitCommit
	publishing // F4: part after part
	waitPut
	marking // F5 is to be sent
	waitMark
)

// worker is what one worker has in memory; a crash takes all but life.
type worker struct {
	at, n, from, to, attempt, part uint8
	answer                         uint8 // 0 none yet, else yes or no
	life                           uint8 // counts crashes; makes attempts fresh
}

const (
	yes = 1
	no  = 2
)

// state is the whole world. Two states are the same if they are equal.
type state struct {
	head       head
	checkpoint uint8 // the stream library's, a hint
	stage      [18]obj
	lake       [10]obj
	sent       [workers + maxFaults]request
	worker     [workers]worker
	faults     uint8 // how many may still happen
	seen       head  // the collector's copy of head
	looked     bool  // it has one
	lost       bool  // a committed object that is not published was not found
}

// add puts v into a sorted list that ends in zeros; it is a set for objects
// and a multiset for requests.
func add[T obj | request](list []T, v T, set bool) {
	for i, at := range list {
		if at == v && set {
			return
		}
		if at == 0 || at > v {
			if list[len(list)-1] != 0 {
				panic("the model's lists are too short")
			}
			copy(list[i+1:], list[i:])
			list[i] = v
			return
		}
	}
	panic("the model's lists are too short")
}

// remove takes element i out.
func remove[T obj | request](list []T, i int) {
	copy(list[i:], list[i+1:])
	list[len(list)-1] = 0
}

// find is the place of the first object for which f holds, or -1.
func find(list []obj, f func(obj) bool) int {
	for i, o := range list {
		if o == 0 {
			break
		}
		if f(o) {
			return i
		}
	}
	return -1
}

// has says whether part p of (from, to] has a record.
func has(from, to, p uint8) bool {
	for r := from + 1; r <= to; r++ {
		if r%parts == p {
			return true
		}
	}
	return false
}

func (h head) String() string {
	return fmt.Sprintf("n=%d (%d,%d] attempt %d published %v", h.n, h.from, h.to, h.attempt, h.published)
}

func (o obj) String() string {
	return fmt.Sprintf("n=%d (%d,%d] attempt %d part %d", o.n(), o.from(), o.to(), o.attempt(), o.part())
}
