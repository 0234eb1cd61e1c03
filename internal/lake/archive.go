package lake

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"time"

	"nagare"
	"nagare/internal/frame"
)

// An archive object holds the raw events of one commit, all of them, and where
// they lay on the stream:
//
//	magic "NGA1", then blocks, each
//	  4 bytes length of the header, 4 bytes length of the frame,
//	  4 bytes CRC-32C of header and frame; all little-endian
//	  header: JSON, see archiveHeader
//	  frame: as on the stream (internal/frame), packed anew: larger than one
//	  record may be, so it compresses better.
const archiveMagic = "NGA1"

// A block ends at blockEvents events or blockBytes. An event on its own may be
// larger; what could not be packed into a frame at all is cut at maxBody.
const (
	blockEvents = 10_000
	blockBytes  = 4 << 20
	maxBody     = frame.MaxRaw - 4<<20
	maxHeader   = 4 << 20
	maxFrame    = 128 << 20
)

type archiveHeader struct {
	Stream string       `json:"stream"`
	Shard  string       `json:"shard"`
	Runs   []archiveRun `json:"runs"`
}

// An archiveRun is a row of events of one record, by growing index.
type archiveRun struct {
	Seq     string    `json:"seq"`
	Arrived time.Time `json:"arrived"`
	Index   int       `json:"index"`
	Count   int       `json:"count"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// archive stages the raw events of the batch.
func (s *stager) archive() error {
	if len(s.b.Events) == 0 {
		return nil
	}
	sp := newSpool(s.c.cfg.TempDir)
	defer sp.drop()
	if _, err := io.WriteString(sp, archiveMagic); err != nil {
		return err
	}
	for events := s.b.Events; len(events) > 0; {
		n, size := 0, 0
		for n < len(events) && n < blockEvents && (n == 0 || size+weight(events[n]) <= blockBytes) {
			size += weight(events[n])
			n++
		}
		if err := writeBlock(sp, s.m.Stream, s.m.Shard, events[:n]); err != nil {
			return fmt.Errorf("lake: archive: %w", err)
		}
		events = events[n:]
		if err := s.ctx.Err(); err != nil {
			return err
		}
	}
	return s.entry("archive.frames", inArchive, archiveKey(s.m.Stream, s.m.Shard, s.m.N, s.m.First), int64(len(s.b.Events)), sp)
}

// weight is about how many bytes an event takes in a frame.
func weight(ev *nagare.Event) int { return len(ev.Body) + len(ev.UID) + len(ev.Error) + 200 }

func writeBlock(w io.Writer, stream, shard string, events []*nagare.Event) error {
	h := archiveHeader{Stream: stream, Shard: shard}
	for i := range events {
		p := &events[i].Pos
		if k := len(h.Runs) - 1; k >= 0 && h.Runs[k].Seq == p.Seq && h.Runs[k].Index+h.Runs[k].Count == p.Index {
			h.Runs[k].Count++
			continue
		}
		h.Runs = append(h.Runs, archiveRun{Seq: p.Seq, Arrived: p.Arrived, Index: p.Index, Count: 1})
	}
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	var enc frame.Encoder
	for _, ev := range events {
		if len(ev.Body) > maxBody {
			short := *ev
			short.Body = ev.Body[:maxBody]
			ev = &short
		}
		enc.Add(ev)
	}
	packed, err := enc.Append(nil)
	if err != nil {
		return err
	}
	var lengths [12]byte
	binary.LittleEndian.PutUint32(lengths[0:], uint32(len(header)))
	binary.LittleEndian.PutUint32(lengths[4:], uint32(len(packed)))
	binary.LittleEndian.PutUint32(lengths[8:], crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, packed))
	for _, b := range [][]byte{lengths[:], header, packed} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// ReadArchive yields the events of an archive object with their positions. An
// error ends it.
func ReadArchive(r io.Reader) iter.Seq2[nagare.Event, error] {
	return func(yield func(nagare.Event, error) bool) {
		magic := make([]byte, len(archiveMagic))
		if _, err := io.ReadFull(r, magic); err != nil || string(magic) != archiveMagic {
			yield(nagare.Event{}, errors.New("lake: not an archive object"))
			return
		}
		for {
			events, err := readBlock(r)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nagare.Event{}, fmt.Errorf("lake: archive: %w", err))
				return
			}
			for i := range events {
				if !yield(events[i], nil) {
					return
				}
			}
		}
	}
}

func readBlock(r io.Reader) ([]nagare.Event, error) {
	var lengths [12]byte
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return nil, err // io.EOF between two blocks
	}
	nh, nf := int64(binary.LittleEndian.Uint32(lengths[0:])), int64(binary.LittleEndian.Uint32(lengths[4:]))
	if nh > maxHeader || nf > maxFrame {
		return nil, fmt.Errorf("a block of %d and %d bytes", nh, nf)
	}
	// Read as it comes: lengths may lie, and memory is for what is there.
	data, err := io.ReadAll(io.LimitReader(r, nh+nf))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) < nh+nf {
		return nil, io.ErrUnexpectedEOF
	}
	if sum := crc32.Checksum(data, castagnoli); sum != binary.LittleEndian.Uint32(lengths[8:]) {
		return nil, errors.New("a block is damaged: its checksum differs")
	}
	var h archiveHeader
	if err := json.Unmarshal(data[:nh], &h); err != nil {
		return nil, err
	}
	events, err := frame.Decode(data[nh:])
	if err != nil {
		return nil, err
	}
	i := 0
	for _, run := range h.Runs {
		if run.Count < 0 || run.Count > len(events)-i {
			return nil, fmt.Errorf("positions of %d events and more, there are %d", i+run.Count, len(events))
		}
		for j := range run.Count {
			events[i].Pos = nagare.Position{Stream: h.Stream, Shard: h.Shard, Seq: run.Seq, Index: run.Index + j, Arrived: run.Arrived}
			i++
		}
	}
	if i != len(events) {
		return nil, fmt.Errorf("%d positions for %d events", i, len(events))
	}
	return events, nil
}
