package app

import (
	"bufio"
	"bytes"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// sniffBytes is how much of a file is looked at to tell what it is.
const sniffBytes = 16 << 10

// sniff says which source a file is of whose text is no JSON, and gives its
// reader back whole. "" leaves it to the events: each JSON value is recognised
// by itself. A guess is of a list that may be another: its rows are looked at.
func sniff(name string, in io.Reader) (source string, guess bool, whole io.Reader) {
	r := bufio.NewReaderSize(in, sniffBytes)
	head, _ := r.Peek(sniffBytes)
	text := strings.TrimLeft(strings.TrimPrefix(string(plainHead(head)), "\ufeff"), " \t\r\n")
	first, _, _ := strings.Cut(text, "\n")
	first = strings.TrimRight(first, "\r")
	words := strings.Fields(first)
	ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")))
	switch {
	case ext == ".eml" || isMail(first):
		source = "mail"
	case text == "" || text[0] == '{' || text[0] == '[':
	case len(words) > 2 && strings.Contains(first, "srcaddr"), len(words) == 14 && words[0] == "2":
		// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
		source = "vpcflow"
	case strings.Contains(first, "github_audit"):
		source = "github"
	case ext == ".csv" || ext == ".tsv" || bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		source, guess = "directory", true
	}
	return source, guess, r
}

// plainHead is the beginning of a text that may be compressed.
func plainHead(b []byte) []byte {
	var z io.Reader
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		g, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return b
		}
		z = g
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20))
		if err != nil {
			return b
		}
		defer d.Close()
		z = d
	default:
		return b
	}
	out, _ := io.ReadAll(io.LimitReader(z, sniffBytes)) // its end is not there
	return out
}

// isMail says whether a line is the first of a mail.
func isMail(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	if !ok {
		return strings.HasPrefix(line, "From ")
	}
	switch strings.ToLower(name) {
	case "received", "return-path", "delivered-to", "message-id", "mime-version", "x-original-to", "dkim-signature", "arc-seal":
		return true
	}
	return false
}
