// Package walcheck looks at a write-ahead log before SQLite does. SQLite reads
// its log up to the first page whose checksum is wrong, and takes that for the
// end: right for a log that a crash cut short, but a bit that flipped in the
// middle would silently take every commit behind it along. This package tells
// the two apart. (File format: sqlite.org/walformat.html)
//
// It knows nothing of what is in the pages: whoever uses it has checksums of
// their own for that.
package walcheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const (
	logHeader, logFrameHeader = 32, 24
	// maxLog bounds what is looked at. A log is cut to 64 MiB, and may be a
	// large transaction larger than that.
	maxLog = 256 << 20
)

// Report is what was found.
type Report struct {
	// Bad is how many pages were damaged.
	Bad int
	// Missing is how many pages of the log are known to have been on disk and
	// are not there any more.
	Missing int
}

// Sound says that nothing was found.
func (r Report) Sound() bool { return r.Bad == 0 && r.Missing == 0 }

// Repair looks at a log. If pages in its middle are damaged it keeps the file
// as aside and gives the pages checksums that fit, so that the commits behind
// them are read. index, if it is not empty, is SQLite's index of the log
// ("-shm"): a process that was killed leaves it, and it tells how many pages
// had been written, so that a log that was cut, or damaged at its very end, is
// noticed too. Nobody may have the database open.
func Repair(path, index, aside string) (Report, error) {
	data, err := readLog(path)
	if err != nil {
		return Report{}, err
	}
	repaired, found := repairedLog(data, framesInIndex(index, data))
	if found.Bad == 0 {
		return found, nil
	}
	if err := writeSynced(aside, data); err != nil {
		return found, fmt.Errorf("keep a damaged log: %w", err)
	}
	if err := writeSynced(path+".tmp", repaired); err != nil {
		return found, err
	}
	return found, os.Rename(path+".tmp", path)
}

// readLog reads a log, or nothing if there is none.
func readLog(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxLog))
	return data, errors.Join(err, f.Close())
}

// framesInIndex is how many pages of this log were on disk, as far as its index
// tells: 0 if there is none, or one of another log. SQLite updates the index
// after it has synced the log.
func framesInIndex(path string, log []byte) int {
	const size = 48 // of the header, of which there are two copies
	if path == "" {
		return 0
	}
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	var b [size]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return 0
	}
	var order binary.ByteOrder = binary.NativeEndian
	s0, s1 := logSum(order, 0, 0, b[:40])
	if s0 != order.Uint32(b[40:]) || s1 != order.Uint32(b[44:]) || b[12] == 0 {
		return 0
	}
	if len(log) >= logHeader && !bytes.Equal(b[32:40], log[16:24]) {
		return 0
	}
	return int(order.Uint32(b[16:]))
}

func writeSynced(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// repairedLog returns a log in which every frame up to the last good commit
// has a right checksum, and how many had not. The first written frames are
// known to have been committed. Each checksum goes on from the
// one before, as it is stored: so a frame behind a damaged one can be told to
// be good.
func repairedLog(data []byte, written int) (repaired []byte, found Report) {
	if len(data) < logHeader {
		return nil, Report{Missing: written}
	}
	be := binary.BigEndian
	var order binary.ByteOrder = binary.LittleEndian
	if data[3]&1 == 1 {
		order = binary.BigEndian
	}
	pageSize := int(be.Uint32(data[8:]))
	if pageSize < 512 || pageSize > 65536 || pageSize&(pageSize-1) != 0 {
		pageSize = 8192 // what our files have: the header is damaged
	}
	step := logFrameHeader + pageSize
	header := bytes.Clone(data[:logHeader])
	s0, s1 := logSum(order, 0, 0, data[:24])
	sound := s0 == be.Uint32(data[24:]) && s1 == be.Uint32(data[28:])
	frames := (len(data) - logHeader) / step
	if !sound {
		if frames == 0 {
			return nil, Report{Missing: written}
		}
		// The first frame has the same salts.
		copy(header[16:24], data[logHeader+8:logHeader+16])
		be.PutUint32(header, 0x377f0682|uint32(data[3]&1))
		be.PutUint32(header[4:], 3007000)
		be.PutUint32(header[8:], uint32(pageSize))
	}
	salts := header[16:24]
	good := make([]bool, frames)
	last := -1 // the last good commit
	s0, s1 = be.Uint32(data[24:]), be.Uint32(data[28:])
	for i := range frames {
		fr := data[logHeader+i*step:][:step]
		s0, s1 = logSum(order, s0, s1, fr[:8])
		s0, s1 = logSum(order, s0, s1, fr[logFrameHeader:])
		good[i] = bytes.Equal(fr[8:16], salts) && s0 == be.Uint32(fr[16:]) && s1 == be.Uint32(fr[20:])
		if good[i] && be.Uint32(fr[4:]) != 0 {
			last = i
		}
		s0, s1 = be.Uint32(fr[16:]), be.Uint32(fr[20:])
	}
	found.Missing = max(written-frames, 0)
	last = max(last, min(written, frames)-1)
	if !sound && last >= 0 {
		found.Bad++
	}
	for i := range last + 1 {
		if !good[i] {
			found.Bad++
		}
	}
	if found.Bad == 0 {
		return nil, found
	}
	s0, s1 = logSum(order, 0, 0, header[:24])
	be.PutUint32(header[24:], s0)
	be.PutUint32(header[28:], s1)
	repaired = append(make([]byte, 0, logHeader+(last+1)*step), header...)
	for i := range last + 1 {
		fr := bytes.Clone(data[logHeader+i*step:][:step])
		page := be.Uint32(fr)
		if page == 0 || page > 1<<24 {
			continue // nobody knows which page this is
		}
		copy(fr[8:], salts)
		s0, s1 = logSum(order, s0, s1, fr[:8])
		s0, s1 = logSum(order, s0, s1, fr[logFrameHeader:])
		be.PutUint32(fr[16:], s0)
		be.PutUint32(fr[20:], s1)
		repaired = append(repaired, fr...)
	}
	return repaired, found
}

// logSum is the checksum of SQLite's logs, continued over b.
func logSum(order binary.ByteOrder, s0, s1 uint32, b []byte) (uint32, uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s0 += order.Uint32(b) + s1
		s1 += order.Uint32(b[4:]) + s0
	}
	return s0, s1
}
