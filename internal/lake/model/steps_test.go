package model

import "fmt"

// rules says which guards are there; its zero value is the protocol as it is.
// Each field takes one away, or changes one thing.
type rules struct {
	// commitAlways: F3 has no condition.
	commitAlways bool
	// commitUnpublished: F3 does not want the last commit to be published, and
	// nobody finishes it first.
	commitUnpublished bool
	// compareN: F3 compares n only, and readers begin at the checkpoint.
	compareN bool
	// beginAtCheckpoint: readers begin at the checkpoint, F3 as it is.
	beginAtCheckpoint bool
	// unstaged: objects are put into the lake before F3, each attempt's under
	// its own name.
	unstaged bool
	// namedByStart: likewise, but named by the first record, and overwritten.
	namedByStart bool
	// overwrite: F4 does not ask that there be no such object.
	overwrite bool
	// sameAttempt: a worker uses one attempt id for ever.
	sameAttempt bool
	// collectByAge: the collector takes what no unpublished commit names.
	collectByAge bool
	// collectWinner: it takes the last commit's objects before they are
	// published.
	collectWinner bool
	// lastFirst: the parts of a commit are published the other way round.
	lastFirst bool
	// freshCollector: the collector's copy of the ledger is never old. Not a
	// guard, but a smaller search.
	freshCollector bool
}

// direct says that there is no staging and so nothing to publish.
func (c *rules) direct() bool { return c.unstaged || c.namedByStart }

// published is the part that is the i-th to be published. The first stands for
// dead letters and raw events, the last for the rows.
func (c *rules) published(i uint8) uint8 {
	if c.lastFirst {
		return parts - 1 - i
	}
	return i
}

// steps gives every state that may follow s. records is how many there are.
func (c *rules) steps(s state, records uint8, emit func(state, func() string)) {
	for i, r := range s.sent {
		if r == 0 {
			break
		}
		if i > 0 && s.sent[i-1] == r {
			continue // the same as the one before
		}
		c.arrive(s, i, emit)
	}
	for w := range s.worker {
		if s.faults > 0 && s.worker[w].at != idle {
			emit(s.crash(w), func() string { return fmt.Sprintf("worker %d crashes, or gives up waiting", w) })
		}
		c.work(s, uint8(w), records, emit)
	}
	if c.compareN || c.beginAtCheckpoint {
		if s.faults > 0 && s.checkpoint > 0 {
			t := s
			t.faults--
			t.checkpoint--
			emit(t, func() string { return "the checkpoint goes back" })
		}
	}
	if !c.direct() {
		c.collect(s, emit)
	}
}

// crash loses what worker w has in memory. What it sent stays on its way.
func (s state) crash(w int) state {
	s.faults--
	s.worker[w] = worker{life: s.worker[w].life + 1}
	sent := s.sent
	s.sent = [len(s.sent)]request{}
	for _, r := range sent {
		if r != 0 && r.by() == uint8(w) {
			r = ask(r.kind(), nobody, r.obj())
		}
		if r != 0 {
			add(s.sent[:], r, false)
		}
	}
	return s
}

// arrive applies request i, and answers.
func (c *rules) arrive(s state, i int, emit func(state, func() string)) {
	r := s.sent[i]
	remove(s.sent[:], i)
	o := r.obj()
	ok := false
	switch r.kind() {
	case commit:
		switch {
		case c.commitAlways:
			ok = true
		case c.compareN:
			ok = s.head.n == o.n() && s.head.published
		default:
			ok = s.head.n == o.n() && s.head.to == o.from() && (s.head.published || c.commitUnpublished)
		}
		if ok {
			s.head = head{n: o.n() + 1, from: o.from(), to: o.to(), attempt: o.attempt(), published: c.direct()}
			s.checkpoint = o.to()
		}
	case put:
		ok = true // 412 is as good: it is there
		same := -1
		switch {
		case c.namedByStart:
			same = find(s.lake[:], func(x obj) bool { return x.from() == o.from() && x.part() == o.part() })
		case !c.unstaged:
			same = find(s.lake[:], func(x obj) bool { return x.n() == o.n() && x.part() == o.part() })
		}
		if same >= 0 && (c.overwrite || c.namedByStart) {
			remove(s.lake[:], same)
			same = -1
		}
		if same < 0 {
			add(s.lake[:], o, true)
		}
	case mark:
		if ok = s.head.n == o.n() && s.head.attempt == o.attempt(); ok {
			s.head.published = true
		}
	}
	if by := r.by(); by != nobody {
		s.worker[by].answer = no
		if ok {
			s.worker[by].answer = yes
		}
	}
	emit(s, func() string {
		return fmt.Sprintf("%s of %v arrives: %v", [...]string{commit: "commit", put: "put", mark: "mark"}[r.kind()], o, ok)
	})
}

// work is what worker w may do next.
func (c *rules) work(s state, w, records uint8, emit func(state, func() string)) {
	k := &s.worker[w] // of our copy of s
	say := func(format string, args ...any) func() string {
		return func() string { return fmt.Sprintf("worker %d ", w) + fmt.Sprintf(format, args...) }
	}
	switch k.at {
	case idle: // F0
		h := s.head
		if !h.published && !(c.commitUnpublished && h.to < records) {
			*k = worker{at: publishing, n: h.n, from: h.from, to: h.to, attempt: h.attempt, life: k.life}
			emit(s, say("finishes commit %d of attempt %d", h.n, h.attempt))
			return
		}
		from := h.to
		if c.compareN || c.beginAtCheckpoint {
			from = s.checkpoint
		}
		if from < records {
			*k = worker{at: reading, n: h.n, from: from, life: k.life}
			emit(s, say("reads from %d, for commit %d", from, h.n+1))
		}
	case reading: // F1 ends at any record
		for to := k.from + 1; to <= records; to++ {
			t := s
			q := &t.worker[w]
			q.at, q.to, q.part = staging, to, 0
			q.attempt = w + 1 + k.life*workers
			if c.sameAttempt {
				q.attempt = w + 1
			}
			emit(t, say("has read to %d", to))
		}
	case staging: // F2
		for k.part < parts && !has(k.from, k.to, k.part) {
			k.part++
		}
		switch {
		case k.part == parts:
			k.at, k.part = committing, 0
			emit(s, say("has put all parts"))
		case c.direct():
			add(s.sent[:], ask(put, w, object(k.n+1, k.from, k.to, k.attempt, k.part)), false)
			k.at = waitPut
			emit(s, say("puts part %d into the lake", k.part))
		default:
			if i := find(s.stage[:], func(x obj) bool { return x.n() == k.n && x.attempt() == k.attempt && x.part() == k.part }); i >= 0 {
				remove(s.stage[:], i) // the same name
			}
			add(s.stage[:], object(k.n, k.from, k.to, k.attempt, k.part), true)
			k.part++
			emit(s, say("stages part %d of attempt %d", k.part-1, k.attempt))
		}
	case committing: // F3
		add(s.sent[:], ask(commit, w, object(k.n, k.from, k.to, k.attempt, 0)), false)
		k.at = waitCommit
		emit(s, say("asks to commit (%d,%d] as %d", k.from, k.to, k.n+1))
	case waitCommit:
		switch {
		case k.answer == 0:
			return
		case k.answer == yes && !c.direct():
			*k = worker{at: publishing, n: k.n + 1, from: k.from, to: k.to, attempt: k.attempt, life: k.life}
			emit(s, say("has won"))
		default:
			*k = worker{life: k.life}
			emit(s, say("is told, and begins anew"))
		}
	case publishing: // F4
		for k.part < parts && !has(k.from, k.to, c.published(k.part)) {
			k.part++
		}
		if k.part == parts {
			k.at = marking
			emit(s, say("has published all parts"))
			return
		}
		part := c.published(k.part)
		i := find(s.stage[:], func(x obj) bool { return x.n()+1 == k.n && x.attempt() == k.attempt && x.part() == part })
		if i < 0 { // somebody may have finished it, and the collector come by
			missing := find(s.lake[:], func(x obj) bool { return x.n() == k.n && x.part() == part }) < 0
			if s.head.n == k.n && s.head.attempt == k.attempt && !s.head.published && missing {
				s.lost = true
			}
			*k = worker{life: k.life}
			emit(s, say("does not find the staged part"))
			return
		}
		o := s.stage[i]
		add(s.sent[:], ask(put, w, object(k.n, o.from(), o.to(), o.attempt(), part)), false)
		k.at = waitPut
		emit(s, say("puts part %d of commit %d", part, k.n))
	case waitPut:
		if k.answer == 0 {
			return
		}
		k.answer = 0
		k.part++
		k.at = publishing
		if c.direct() {
			k.at = staging
		}
		emit(s, say("is told that it is there"))
	case marking: // F5
		add(s.sent[:], ask(mark, w, object(k.n, 0, 0, k.attempt, 0)), false)
		k.at = waitMark
		emit(s, say("asks to mark commit %d published", k.n))
	case waitMark:
		if k.answer == 0 {
			return
		}
		*k = worker{life: k.life}
		emit(s, say("is done"))
	}
}

// collect is what the collector of orphans may do: look at the ledger, or take
// an object that is one by what it saw.
func (c *rules) collect(s state, emit func(state, func() string)) {
	h, looked := s.seen, s.looked
	if c.freshCollector || c.collectByAge {
		h, looked = s.head, true
	} else if !s.looked || s.seen != s.head {
		t := s
		t.seen, t.looked = s.head, true
		emit(t, func() string { return "the collector looks at the ledger" })
	}
	if !looked {
		return
	}
	for i, o := range s.stage {
		if o == 0 {
			break
		}
		orphan := h.n >= o.n()+2 || h.n == o.n()+1 && (o.attempt() != h.attempt || h.published || c.collectWinner)
		if c.collectByAge {
			orphan = !(h.n == o.n()+1 && h.attempt == o.attempt() && !h.published)
		}
		if orphan {
			t := s
			remove(t.stage[:], i)
			emit(t, func() string { return fmt.Sprintf("the collector removes %v", o) })
		}
	}
}

// wrong says what must not be, or "".
func (c *rules) wrong(s *state, records uint8) string {
	if s.lost {
		return "a committed part is gone before it was published"
	}
	var in [maxRecords + 1]int
	for _, o := range s.lake {
		if o == 0 {
			break
		}
		for r := o.from() + 1; r <= o.to(); r++ {
			if r%parts == o.part() {
				in[r]++
			}
		}
	}
	if !c.direct() && !c.sameAttempt { // those break it too, and something worse
		for _, o := range s.lake {
			if o == 0 {
				break
			}
			if o.part() > 0 && has(o.from(), o.to(), 0) && find(s.lake[:], func(x obj) bool { return x.n() == o.n() && x.part() == 0 }) < 0 {
				return fmt.Sprintf("rows of commit %d are seen before its dead letters", o.n())
			}
		}
	}
	for r := uint8(1); r <= records; r++ {
		switch {
		case in[r] > 1:
			return fmt.Sprintf("record %d is in the lake twice", r)
		case in[r] == 1 && r > s.head.to && !c.direct():
			return fmt.Sprintf("record %d is seen before it is committed", r)
		case in[r] == 1 || r > s.head.to:
		case s.head.published || r <= s.head.from:
			return fmt.Sprintf("record %d is lost", r)
		case find(s.stage[:], func(x obj) bool {
			return x.n()+1 == s.head.n && x.attempt() == s.head.attempt && x.part() == r%parts
		}) < 0:
			return fmt.Sprintf("record %d is lost: committed, and neither staged nor in the lake", r)
		}
	}
	return ""
}
