package producers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A piece is one JSON value of a text, or a stretch of it that is none.
type piece struct {
	text   []byte
	number int    // its place among the pieces, from 1
	line   int    // where it starts, from 1
	reason string // "" for a JSON object
	detail string
}

// A splitter cuts a text into JSON values: a document, values one after the
// other, lines, or the elements of a list that is the whole document. It reads
// the text as it goes and holds no more of it than one value.
//
// A value that is damaged costs what follows it too, unless the text is JSON
// lines: then, only its line.
type splitter struct {
	r     io.Reader
	limit int // the largest value
	depth int
	// grow is asked before more than growBytes are held; its error ends the
	// text.
	grow func() error
	// repair is shown what is no JSON; nil for none.
	repair func([]byte) ([]byte, bool)

	buf    []byte // unread text is buf[pos:]; what lies before was handed out and is never changed
	pos    int
	err    error // why no more can be read; io.EOF at the end
	number int
	line   int

	inList    bool // inside of a list that is the document
	needComma bool
	sawList   bool // there was a list, so that no value at all is not "empty"
	lines     bool // every value so far had a line to itself
	ownLine   int  // so many of them had
}

const (
	readBytes = 512 << 10
	growBytes = 4 << 20
	// repairBytes bounds the text that an adapter is asked to repair.
	repairBytes = 1 << 20
)

// fill reads more text. With part of a value in the buffer it reads about as
// much again before that is scanned anew, so that scanning stays linear.
func (s *splitter) fill() bool {
	have := len(s.buf) - s.pos
	want := have + 1
	if have >= 64<<10 {
		want = 2 * have
	}
	for s.err == nil && len(s.buf)-s.pos < want {
		if len(s.buf) == cap(s.buf) {
			size := max(readBytes, 2*(len(s.buf)-s.pos))
			if size > growBytes && s.grow != nil {
				if s.err = s.grow(); s.err != nil {
					break
				}
			}
			// A new buffer each time: events hold on to parts of the old one.
			fresh := make([]byte, len(s.buf)-s.pos, size)
			copy(fresh, s.buf[s.pos:])
			s.buf, s.pos = fresh, 0
		}
		var n int
		n, s.err = s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
	}
	return len(s.buf)-s.pos > have
}

// next returns the next piece, or false at the end. The end may be an error:
// see s.err.
func (s *splitter) next() (piece, bool) {
	if s.line == 0 {
		s.line = 1
	}
	for {
		s.skip(skipSpace(s.buf, s.pos) - s.pos)
		if s.pos == len(s.buf) {
			if s.fill() {
				continue
			}
			if s.inList && s.err == io.EOF {
				s.inList = false
				return s.bad(0, ReasonNotJSON, "the list is not closed"), true
			}
			return piece{}, false
		}
		c := s.buf[s.pos]
		switch {
		case s.inList && c == ']':
			s.inList = false
			s.skip(1)
			continue
		case s.inList && s.needComma && c == ',':
			s.needComma = false
			s.skip(1)
			continue
		case s.inList && s.needComma:
			return s.damaged(unexpected(c, "a comma or ']'")), true
		case !s.inList && c == '[':
			s.inList, s.needComma, s.sawList = true, false, true
			s.skip(1)
			continue
		}
		return s.value(c), true
	}
}

// value reads the value that starts at pos, with c.
func (s *splitter) value(c byte) piece {
	depth := s.depth
	if s.inList {
		depth-- // the list is a level too
	}
	tooDeep := false
	for {
		n, err := scanValue(s.buf[s.pos:], depth)
		atEnd := s.pos+n == len(s.buf)
		switch {
		case errors.Is(err, errTooDeep):
			// The value is lost, but where does it end?
			tooDeep, depth = true, s.limit
			continue
		case err == errMore, err == nil && atEnd && c != '{' && c != '"' && s.err == nil:
			if len(s.buf)-s.pos > s.limit {
				return s.tooLarge()
			}
			if s.fill() {
				continue
			}
			if err == nil {
				break
			}
			return s.damaged(err)
		case err != nil:
			return s.damaged(err)
		}
		if n > s.limit {
			return s.bad(n, ReasonTooLarge, fmt.Sprintf("%d bytes", n))
		}
		alone := s.alone(n)
		if alone {
			s.ownLine++
		}
		s.lines = alone && (s.lines || s.number == 0)
		s.needComma = true
		switch {
		case tooDeep:
			return s.bad(n, ReasonTooDeep, fmt.Sprintf("more than %d levels", s.depth))
		case c != '{':
			return s.bad(n, ReasonNotObject, kindOf(c)+", and an event is an object")
		}
		return s.cut(n)
	}
}

// kindOf names what a JSON value that begins with c is.
func kindOf(c byte) string {
	switch c {
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// alone says whether a value of n bytes at pos has a line to itself.
func (s *splitter) alone(n int) bool {
	if s.inList || bytes.IndexByte(s.buf[s.pos:s.pos+n], '\n') >= 0 {
		return false
	}
	c, ok := s.after(n, " \t\r")
	return !ok || c == '\n'
}

// after returns the first byte behind the next n that is not blank, reading on
// to see it. At the end of the text there is none; far away it does not matter
// which.
func (s *splitter) after(n int, blank string) (c byte, ok bool) {
	const far = 4096
	for {
		near := s.buf[s.pos+n : min(len(s.buf), s.pos+n+far)]
		if rest := bytes.TrimLeft(near, blank); len(rest) > 0 {
			return rest[0], true
		}
		if len(near) == far {
			return ' ', true
		}
		if !s.fill() {
			return 0, false
		}
	}
}

// skip moves on by n bytes.
func (s *splitter) skip(n int) {
	s.line += bytes.Count(s.buf[s.pos:s.pos+n], []byte{'\n'})
	s.pos += n
}

// cut takes n bytes as a piece.
func (s *splitter) cut(n int) piece {
	s.number++
	p := piece{text: s.buf[s.pos : s.pos+n : s.pos+n], number: s.number, line: s.line}
	s.skip(n)
	return p
}

// bad takes n bytes as a piece that cannot be used.
func (s *splitter) bad(n int, reason, detail string) piece {
	p := s.cut(n)
	p.reason, p.detail = reason, detail
	return p
}

// damaged takes what is no JSON: the line, if the text is JSON lines, else all
// that is left of the text.
func (s *splitter) damaged(cause error) piece {
	line := s.line
	detail := fmt.Sprintf("line %d: %v", line, cause)
	end, ok := s.damagedLine()
	if !ok {
		// Everything. Its beginning is enough, for repair or as evidence.
		for len(s.buf)-s.pos <= repairBytes && s.fill() {
		}
		end = len(s.buf) - s.pos
		s.inList = false
	}
	text := bytes.TrimRight(s.buf[s.pos:s.pos+end], " \t\r\n")
	if s.repair != nil && len(text) <= repairBytes && (ok || s.err == io.EOF) {
		if repaired, ok := s.repair(text); ok {
			if n, err := scanValue(repaired, s.depth); err == nil && n == len(repaired) && repaired[0] == '{' {
				p := s.cut(end)
				p.text = repaired
				return p
			}
		}
	}
	p := s.bad(end, ReasonNotJSON, detail)
	p.text = text
	if ok {
		return p
	}
	if n := s.discard(nil); n > 0 {
		p.detail += fmt.Sprintf("; %d bytes after it were not looked at", n)
	}
	s.explain(&p)
	return p
}

// rest takes all that is left of the text as one piece that is not looked at.
func (s *splitter) rest() (piece, bool) {
	if s.pos == len(s.buf) && !s.fill() {
		return piece{}, false
	}
	p := s.bad(len(s.buf)-s.pos, ReasonNotJSON, "")
	size := int64(len(p.text)) + s.discard(nil)
	s.inList = false
	p.detail = fmt.Sprintf("line %d: after %d pieces that could not be read, %d bytes were not looked at", p.line, maxDead, size)
	s.explain(&p)
	return p, true
}

// explain gives a piece the reason why the text ended too early, if it did, so
// that this is not reported twice.
func (s *splitter) explain(p *piece) {
	var r *Refusal
	if errors.As(s.err, &r) {
		p.reason, p.detail, s.err = r.Reason, p.detail+"; "+r.Err.Error(), io.EOF
	}
}

// damagedLine returns the length of the damaged line at pos if it is safe to
// go on behind it: because all values so far had lines to themselves, or
// because a whole value starts in the next line.
func (s *splitter) damagedLine() (int, bool) {
	lines := s.lines && s.number > 0 && !s.inList
	far := s.limit
	if !lines {
		far = repairBytes // a line that long is none
	}
	end := 0
	for {
		i := bytes.IndexByte(s.buf[s.pos+end:], '\n')
		if i >= 0 {
			end += i + 1
			break
		}
		end = len(s.buf) - s.pos
		if end > far {
			return 0, false
		}
		if !s.fill() {
			return end, lines && s.err == io.EOF
		}
	}
	if lines {
		return end, true
	}
	// Where values had lines to themselves before, any later line will do:
	// several in a row may be damaged.
	for next, looked := end, 0; ; looked++ {
		next = skipSpace(s.buf[s.pos:], next)
		n, err := 0, errMore
		if s.pos+next < len(s.buf) {
			if s.buf[s.pos+next] == '{' {
				n, err = scanValue(s.buf[s.pos+next:], s.depth)
				if errors.Is(err, errTooDeep) { // lost, but it shows where lines begin
					n, err = scanValue(s.buf[s.pos+next:], s.limit)
				}
			} else {
				err = errNoValue
			}
		}
		if err == nil {
			if c, ok := s.after(next+n, ", \t\r]"); !ok || c == '\n' {
				s.needComma = false
				s.lines = !s.inList
				return end, true
			}
			err = errNoValue
		}
		if err == errMore {
			if len(s.buf)-s.pos > s.limit || !s.fill() {
				return 0, false
			}
			continue
		}
		if s.ownLine == 0 || looked >= maxDead {
			return 0, false
		}
		for {
			i := bytes.IndexByte(s.buf[s.pos+next:], '\n')
			if i >= 0 {
				next += i + 1
				break
			}
			if next = len(s.buf) - s.pos; next > repairBytes || !s.fill() {
				return 0, false
			}
		}
		if next > repairBytes {
			return 0, false
		}
	}
}

// tooLarge takes a value that is over the limit: its beginning is the piece,
// and the rest is thrown away as it is read, up to the end of the line if the
// text is JSON lines.
func (s *splitter) tooLarge() piece {
	line := s.line
	p := s.bad(len(s.buf)-s.pos, ReasonTooLarge, "")
	stop := []byte{'\n'}
	if !s.lines {
		stop = nil
	}
	size := int64(len(p.text))
	if i := bytes.IndexByte(p.text, '\n'); stop != nil && i >= 0 {
		// A line break inside a value, so not the JSON lines that it seemed.
		stop = nil
	}
	size += s.discard(stop)
	s.inList = false
	p.text = bytes.Clone(p.text[:min(len(p.text), deadBytes)]) // let the large buffer go
	p.detail = fmt.Sprintf("line %d: a value of %d bytes or more, over the limit of %d", line, size, s.limit)
	s.explain(&p)
	return p
}

// discard throws text away, up to and including stop, or all of it.
func (s *splitter) discard(stop []byte) (n int64) {
	s.pos = len(s.buf)
	spare := make([]byte, 0, readBytes)
	for s.err == nil {
		s.buf, s.pos = spare, 0
		s.fill()
		end := len(s.buf)
		if stop != nil {
			if i := bytes.Index(s.buf, stop); i >= 0 {
				end = i + len(stop)
			}
		}
		n += int64(end)
		s.skip(end)
		if end < len(s.buf) || stop != nil && end > 0 && bytes.HasSuffix(s.buf[:end], stop) {
			break
		}
	}
	return n
}
