package lake

import (
	"fmt"
	"io"
	"strings"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"nagare"
	"nagare/ocsf"
)

// The shape of a file. Readers want data pages of at most 1 MB and row groups
// of at most 256 MB; these are targets well inside.
const (
	pageBytes     = 256 << 10
	groupRows     = 50_000
	groupBytes    = 64 << 20 // of values, before compression
	batchRows     = 1024
	batchElems    = 64 << 10  // of all lists and maps in one batch
	batchColBytes = 128 << 10 // of one column in one batch: a page is cut between batches
)

// A writer makes one Parquet file of one class. Rows come in the order they
// shall have in the file. Only one writer should be open at a time: it holds a
// buffer for each of many hundred columns.
type writer struct {
	t    *table
	pw   *parquet.GenericWriter[any]
	cols []*parquet.ColumnWriter
	out  countWriter
	fit  fitter

	plan  *plan
	pairs []ocsf.Pair       // unmapped of the row being added
	bufs  [][]parquet.Value // by column, live ones only
	bytes []int             // by column: text in the batch
	runs  [][]parquet.Value // levels of the dead columns
	rows  int               // in the batch
	elems int               // of lists and maps in the batch
	full  bool              // the batch should be written

	groupRows  int
	groupBytes int
	total      int64
	cut        int64 // rows that were cut
}

type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// newWriter begins a file. meta goes into its key-value metadata.
func newWriter(out io.Writer, t *table, meta map[string]string) *writer {
	w := &writer{t: t, out: countWriter{w: out}}
	opts := []parquet.WriterOption{
		t.schema,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}), // what zstd calls 3
		parquet.PageBufferSize(pageBytes),
		parquet.WriteBufferSize(64 << 10),
		parquet.MaxRowsPerRowGroup(groupRows + batchRows),
		// Bounds are in the footer and in the page index; a third copy in each
		// page's header would be longer than some pages.
		parquet.DataPageStatistics(false),
		parquet.CreatedBy("nagare", "1", ""),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("time"), parquet.Ascending("metadata", "uid"))),
		parquet.KeyValueMetadata("nagare.schema", t.hash),
		parquet.KeyValueMetadata("ocsf.version", t.version),
		parquet.KeyValueMetadata("ocsf.class_uid", fmt.Sprint(t.class.UID)),
	}
	for k, v := range meta {
		opts = append(opts, parquet.KeyValueMetadata(k, v))
	}
	for _, at := range t.noStats {
		opts = append(opts, parquet.SkipPageBounds(strings.Split(at, ".")...))
	}
	w.pw = parquet.NewGenericWriter[any](&w.out, opts...)
	w.cols = w.pw.ColumnWriters()
	w.bufs = make([][]parquet.Value, len(w.cols))
	w.bytes = make([]int, len(w.cols))
	return w
}

// add writes one row. It may change e, and reads e's texts until the batch is
// written: they must stay what they are.
func (w *writer) add(e *ocsf.Event, pos nagare.Position) error {
	if w.plan == nil || w.plan.layout != e.Layout {
		if err := w.flush(); err != nil {
			return err
		}
		p, err := w.t.plan(e.Layout)
		if err != nil {
			return err
		}
		w.plan = p
		w.runs = make([][]parquet.Value, len(p.dead))
	}
	w.pairs = w.fit.fit(w.plan, e, pos)
	w.elems += maxElements - w.fit.left + len(w.pairs)
	root := w.plan.root
	if root.run >= 0 {
		w.level(root.run, 0, 0)
	}
	for _, n := range root.fields {
		w.put(n, e.Slots, 0, 0)
	}
	if w.fit.cut {
		w.cut++
	}
	w.rows++
	w.total++
	if w.full || w.rows == batchRows || w.elems >= batchElems {
		return w.flush()
	}
	return nil
}

// put writes what column n has in slots. rep is the repetition level of the
// first value, def the definition level that what is around n has.
func (w *writer) put(n *node, slots []ocsf.Value, rep, def int) {
	switch n.typ {
	case ocsf.ColGroup:
		if !present(n.under, slots) {
			w.null(n, rep, def)
			return
		}
		if n.run >= 0 {
			w.level(n.run, rep, n.def)
		}
		for _, f := range n.fields {
			w.put(f, slots, rep, n.def)
		}
	case ocsf.ColList:
		w.list(n, slots[n.slot].List(), rep, def)
	case ocsf.ColMap:
		for i, p := range w.pairs {
			r := n.rep
			if i == 0 {
				r = rep
			}
			w.text(n.col, p.Key, r, n.def+1)
			w.text(n.col+1, p.Value, r, n.def+1)
		}
	default:
		if v := &slots[n.slot]; v.Has() {
			w.value(n, v, rep, n.def)
		} else {
			w.bufs[n.col] = append(w.bufs[n.col], parquet.Value{}.Level(rep, def, n.col))
		}
	}
}

func (w *writer) list(n *node, l *ocsf.List, rep, def int) {
	size := l.Len()
	if size == 0 { // there is no empty list: it would tell nobody anything
		w.null(n, rep, def)
		return
	}
	for i := range size {
		if i > 0 {
			rep = n.rep
		}
		switch {
		case l.Row == nil && l.Items[i].Has():
			w.value(n.elem, &l.Items[i], rep, n.elem.def)
		case l.Row == nil || !present(n.elem.under, l.At(i)):
			w.null(n, rep, n.elem.def-1) // an element that is null
		default:
			if n.elem.run >= 0 {
				w.level(n.elem.run, rep, n.elem.def)
			}
			row := l.At(i)
			for _, f := range n.elem.fields {
				w.put(f, row, rep, n.elem.def)
			}
		}
	}
}

func present(under []int, slots []ocsf.Value) bool {
	for _, i := range under {
		if v := &slots[i]; v.Has() && (v.Kind() != ocsf.ListKind || v.List().Len() > 0) {
			return true
		}
	}
	return false
}

// null writes that nothing at or below n is there, down to level def.
func (w *writer) null(n *node, rep, def int) {
	for _, col := range n.cols {
		w.bufs[col] = append(w.bufs[col], parquet.Value{}.Level(rep, def, col))
	}
	for _, run := range n.runs {
		w.level(run, rep, def)
	}
}

func (w *writer) level(run, rep, def int) {
	w.runs[run] = append(w.runs[run], parquet.Value{}.Level(rep, def, 0))
}

func (w *writer) value(n *node, v *ocsf.Value, rep, def int) {
	var x parquet.Value
	switch n.typ {
	case ocsf.ColBool:
		x = parquet.BooleanValue(v.Bool())
	case ocsf.ColInt32:
		x = parquet.Int32Value(int32(v.Int()))
	case ocsf.ColInt64, ocsf.ColTimestamp:
		x = parquet.Int64Value(v.Int())
	case ocsf.ColDouble:
		x = parquet.DoubleValue(v.Float())
	default:
		w.text(n.col, v.Text(), rep, def)
		return
	}
	w.bufs[n.col] = append(w.bufs[n.col], x.Level(rep, def, n.col))
}

func (w *writer) text(col int, s string, rep, def int) {
	w.bytes[col] += len(s)
	w.full = w.full || w.bytes[col] >= batchColBytes
	// The batch is copied into the column's buffer before the text may go.
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	w.bufs[col] = append(w.bufs[col], parquet.ByteArrayValue(b).Level(rep, def, col))
}

// flush writes the batch, and closes the row group if that is large enough.
func (w *writer) flush() error {
	if w.rows == 0 {
		return nil
	}
	for _, col := range w.plan.live {
		if _, err := w.cols[col].WriteRowValues(w.bufs[col]); err != nil {
			return fmt.Errorf("lake: write %s: %w", w.t.class.Name, err)
		}
		clear(w.bufs[col])
		w.bufs[col] = w.bufs[col][:0]
		w.groupBytes += w.bytes[col] + 8*w.rows
		w.bytes[col] = 0
	}
	for run, cols := range w.plan.dead {
		for _, col := range cols {
			if _, err := w.cols[col].WriteRowValues(w.runs[run]); err != nil {
				return fmt.Errorf("lake: write %s: %w", w.t.class.Name, err)
			}
		}
		w.runs[run] = w.runs[run][:0]
	}
	w.groupRows += w.rows
	w.rows, w.elems, w.full = 0, 0, false
	if w.groupRows >= groupRows || w.groupBytes >= groupBytes {
		return w.endGroup()
	}
	return nil
}

func (w *writer) endGroup() error {
	if err := w.pw.Flush(); err != nil {
		return fmt.Errorf("lake: write %s: %w", w.t.class.Name, err)
	}
	w.cols = w.pw.ColumnWriters()
	w.groupRows, w.groupBytes = 0, 0
	return nil
}

// size is how much of the file is written; the open row group is not in it.
func (w *writer) size() int64 { return w.out.n }

// close ends the file.
func (w *writer) close() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.pw.Close(); err != nil {
		return fmt.Errorf("lake: write %s: %w", w.t.class.Name, err)
	}
	return nil
}
