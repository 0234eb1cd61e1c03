package kinesisd

import "sort"

// record is what the API calls a data record. Nothing in it changes once it
// is stored, so readers share it.
type record struct {
	seq          sequence
	at           int64 // arrival, milliseconds
	partitionKey string
	data         []byte
}

// recordOverhead is what a record in memory costs beyond its bytes.
const recordOverhead = 160

func (r *record) size() int { return len(r.data) + len(r.partitionKey) + recordOverhead }

// tail is the newest records of a shard, in memory: consumers that keep up are
// served from it, without a look at the disk.
type tail struct {
	records fifo[record]
	after   sequence // every stored record beyond it is in records
}

// from copies the records after a position, as far as they fit. full says
// that some did not.
func (t *tail) from(after sequence, maxRecords, maxBytes int) (found []record, full bool) {
	all := t.records.all()
	i := sort.Search(len(all), func(i int) bool { return all[i].seq > after })
	n, size := i, 0
	for ; n < len(all); n++ {
		size += len(all[n].data)
		if n-i >= maxRecords || size > maxBytes && n > i {
			full = true
			break
		}
	}
	return append(found, all[i:n]...), full
}

// tailQueue keeps the tails of all shards together within a bound: the oldest
// record of all goes first.
type tailQueue struct {
	order fifo[*shard] // one entry a record
	bytes int
}

func (q *tailQueue) push(sh *shard, r record) {
	sh.tail.records.push(r)
	q.order.push(sh)
	q.bytes += r.size()
}

func (q *tailQueue) shrink(maxBytes int) {
	for q.bytes > maxBytes && q.order.len() > 0 {
		sh := q.order.pop()
		r := sh.tail.records.pop()
		sh.tail.after = r.seq
		q.bytes -= r.size()
	}
}

// fifo is a queue in a slice.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }
func (f *fifo[T]) all() []T { return f.items[f.head:] }
func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

func (f *fifo[T]) pop() T {
	var zero T
	v := f.items[f.head]
	f.items[f.head] = zero
	if f.head++; f.head >= 64 && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	return v
}
