package producers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// A content is the text of a delivery, read through whatever it was wrapped
// in. What is wrong with the wrapping comes out of Read as a *Refusal; any
// other error is one of the reader beneath.
type content struct {
	*bufio.Reader
	src        *source
	compressed bool
	closers    []func()
}

// peekBytes is how much of a content can be looked at before it is read.
const peekBytes = 64 << 10

// openContent undoes up to two layers of gzip or zstd, recognised by their
// first bytes whatever the sender said, because files get compressed twice,
// lose their ending, and proxies decompress what they forward. It then turns
// UTF-16 with a byte order mark, and the charset of contentType, into UTF-8.
// More than limit bytes of text are refused; 0 is no limit.
func openContent(r io.Reader, contentType string, limit int64) (*content, error) {
	c := &content{src: &source{r: r}}
	c.Reader = bufio.NewReaderSize(c.src, peekBytes)
	for range 2 {
		head, _ := c.Peek(4)
		switch {
		case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
			z, err := gzip.NewReader(c.Reader)
			if err != nil {
				return c, c.blame(ReasonBadGzip, err)
			}
			c.wrap(&layer{c, z, ReasonBadGzip})
		case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			z, err := zstd.NewReader(c.Reader, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(32<<20))
			if err != nil {
				return c, c.blame(ReasonBadZstd, err)
			}
			c.closers = append(c.closers, z.Close)
			c.wrap(&layer{c, z, ReasonBadZstd})
		}
	}
	if limit > 0 {
		reason := ReasonTooLarge
		if c.compressed {
			reason = ReasonBomb
		}
		c.Reader = bufio.NewReaderSize(&limited{c.Reader, limit, reason}, peekBytes)
	}
	return c, c.decode(contentType)
}

func (c *content) wrap(l *layer) {
	c.compressed = true
	c.Reader = bufio.NewReaderSize(l, peekBytes)
}

// decode makes UTF-8 of the text.
func (c *content) decode(contentType string) error {
	head, _ := c.Peek(3)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := c.Discard(3)
		return err
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		u := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
		c.Reader = bufio.NewReaderSize(transform.NewReader(c.Reader, u.NewDecoder()), peekBytes)
		return nil
	}
	_, params, _ := mime.ParseMediaType(contentType)
	switch charset := strings.ToLower(params["charset"]); charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
	default:
		e, err := htmlindex.Get(charset)
		if err != nil {
			return &Refusal{ReasonBadCharset, fmt.Errorf("charset %.50q is not known", charset)}
		}
		c.Reader = bufio.NewReaderSize(transform.NewReader(c.Reader, e.NewDecoder()), peekBytes)
	}
	return nil
}

// blame says whose fault an error is: the wrapping's, unless the reader
// beneath has failed.
func (c *content) blame(reason string, err error) error {
	var already *Refusal
	switch {
	case c.src.err != nil:
		return c.src.err
	case errors.As(err, &already):
		return err
	default:
		return &Refusal{reason, err}
	}
}

// Close frees the decompressors.
func (c *content) Close() {
	for _, f := range c.closers {
		f()
	}
}

// A source remembers what is wrong with the reader beneath, counts what was
// read, and keeps its beginning as evidence.
type source struct {
	r    io.Reader
	n    int64
	head []byte
	err  error
	seen func(n int64)
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if room := deadBytes - len(s.head); room > 0 {
		s.head = append(s.head, p[:min(n, room)]...)
	}
	s.n += int64(n)
	if s.seen != nil && n > 0 {
		s.seen(s.n)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

type layer struct {
	c      *content
	r      io.Reader
	reason string
}

func (l *layer) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if err != nil && err != io.EOF {
		err = l.c.blame(l.reason, err)
	}
	return n, err
}

type limited struct {
	r      io.Reader
	left   int64
	reason string
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, &Refusal{l.reason, errors.New("more than is taken of one delivery")}
	}
	// One byte more than allowed tells the end of the content from too much.
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	l.left -= int64(n)
	if l.left < 0 {
		return n - 1, &Refusal{l.reason, errors.New("more than is taken of one delivery")}
	}
	return n, err
}
