package producers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// SQLite reads its log up to the first page whose checksum is wrong, and takes
// that for the end: right for a log that a crash cut short, but a bit that
// flipped in the middle would silently take every commit behind it along. This
// file tells the two apart. (File format: sqlite.org/walformat.html)

const (
	logHeader, logFrameHeader = 32, 24
	// maxLog bounds what is looked at. A log is cut to 64 MiB, and may be a
	// large transaction larger than that.
	maxLog = 256 << 20
)

// repairLog looks at a log before SQLite does. If pages in its middle are
// damaged it keeps the file as aside and gives the pages checksums that fit, so
// that the commits behind them are read; what is wrong in the pages themselves
// the rows' own checksums tell. It returns how many pages are damaged.
func repairLog(path, aside string) (bad int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxLog))
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	repaired, bad := repairedLog(data)
	if bad == 0 {
		return 0, nil
	}
	if err := writeSynced(aside, data); err != nil {
		return bad, fmt.Errorf("keep a damaged log: %w", err)
	}
	if err := writeSynced(path+".tmp", repaired); err != nil {
		return bad, err
	}
	return bad, os.Rename(path+".tmp", path)
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
// has a right checksum, and how many had not. Each checksum goes on from the
// one before, as it is stored: so a frame behind a damaged one can be told to
// be good.
func repairedLog(data []byte) (repaired []byte, bad int) {
	if len(data) < logHeader {
		return nil, 0
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
			return nil, 0
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
	if !sound && last >= 0 {
		bad++
	}
	for i := range last + 1 {
		if !good[i] {
			bad++
		}
	}
	if bad == 0 {
		return nil, 0
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
	return repaired, bad
}

// logSum is the checksum of SQLite's logs, continued over b.
func logSum(order binary.ByteOrder, s0, s1 uint32, b []byte) (uint32, uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s0 += order.Uint32(b) + s1
		s1 += order.Uint32(b[4:]) + s0
	}
	return s0, s1
}
