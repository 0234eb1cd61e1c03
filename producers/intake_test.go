package producers

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/ksuid"

	"nagare"
	"nagare/ocsf/mapping"
)

// fakeHead splits {"records":[…]}, takes "id" and "at", and cannot tell when
// there is "mystery".
type fakeHead struct{}

func (fakeHead) Split(source string, body []byte, _ mapping.HeadMeta) ([]mapping.HeadEvent, error) {
	var doc struct {
		Records []json.RawMessage
		Mystery bool
		ID      string
		At      time.Time
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	if doc.Mystery {
		return nil, errors.New("a mystery")
	}
	if doc.Records == nil {
		return []mapping.HeadEvent{{UID: doc.ID, Time: doc.At, Body: body}}, nil
	}
	var out []mapping.HeadEvent
	for _, r := range doc.Records {
		one, err := fakeHead{}.Split(source, r, mapping.HeadMeta{})
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}

// memory is a stream in memory.
type memory struct {
	mu     sync.Mutex
	events []nagare.Event
	err    error
	count  int
	forget bool
}

func (m *memory) Put(_ context.Context, events []nagare.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.count += len(events)
	if !m.forget {
		m.events = append(m.events, events...)
	}
	return nil
}

var noon = time.Date(2026, 7, 3, 12, 0, 0, 0, time.UTC)

func newTestIntake(cfg Config) (*Intake, *memory, *memory) {
	events, bulk := &memory{}, &memory{}
	cfg.Head = func() Head { return fakeHead{} }
	cfg.Events, cfg.Bulk = events, bulk
	return NewIntake(cfg), events, bulk
}

func gz(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func zst(text string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(text), nil))
}

func utf16le(text string) string {
	b := []byte{0xff, 0xfe}
	for _, r := range text {
		b = append(b, byte(r), byte(r>>8))
	}
	return string(b)
}

func TestAccept(t *testing.T) {
	const two = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n"
	both := []string{`{"id":"a"}`, `{"id":"b"}`}
	bomb := gz(strings.Repeat("{\"id\":\"a\"}\n", 20_000))
	for _, tt := range []struct {
		name string
		d    Delivery
		want []string // body, or reason:beginning of the body
	}{
		{"lines", Delivery{Body: []byte(two)}, both},
		{"CRLF", Delivery{Body: []byte(strings.ReplaceAll(two, "\n", "\r\n"))}, both},
		{"byte order mark", Delivery{Body: []byte("\ufeff" + two)}, both},
		{"UTF-16", Delivery{Body: []byte(utf16le(two))}, both},
		{"charset", Delivery{ContentType: "application/json; charset=Shift_JIS", Body: []byte("{\"id\":\"\x83\x65\"}")}, []string{`{"id":"テ"}`}},
		{"unknown charset", Delivery{ContentType: "application/json; charset=klingon", Body: []byte(two)}, []string{"bad-charset:" + two}},
		{"gzip", Delivery{Body: []byte(gz(two))}, both},
		{"gzip, twice", Delivery{ContentEncoding: "gzip", Body: []byte(gz(gz(two)))}, both},
		{"two gzip members", Delivery{Body: []byte(gz(two[:11]) + gz(two[11:]))}, both},
		{"called gzip and is none", Delivery{ContentEncoding: "gzip", Body: []byte(two)}, both},
		{"zstd", Delivery{ContentEncoding: "zstd", Body: []byte(zst(two))}, both},
		{"brotli", Delivery{ContentEncoding: "br", Body: []byte("\x0b\x02\x80")}, []string{"bad-encoding:\x0b\x02\x80"}},
		{"records", Delivery{Body: []byte(`{"records":[{"id":"a"},{"id":"b"}]}`)}, both},
		{"list", Delivery{Body: []byte(`[{"id":"a"},{"id":"b"}]`)}, both},
		{"head errs", Delivery{Body: []byte(`{"records":[{"mystery":true}]}`)}, []string{`{"records":[{"mystery":true}]}`}},
		{"empty", Delivery{Body: []byte(" \n")}, []string{"empty: \n"}},
		{"empty list", Delivery{Body: []byte("[]")}, nil},
		{"empty file", Delivery{Name: "hour.json"}, nil},
		{"text", Delivery{Body: []byte("hello")}, []string{"not-json:hello"}},
		{"truncated line", Delivery{Body: []byte(two + `{"id":`)}, append(both[:2:2], `not-json:{"id":`)},
		{"truncated gzip", Delivery{Body: []byte(gz(two)[:30])}, append(both[:2:2], "bad-gzip:\x1f\x8b")},
		{"damaged gzip", Delivery{Body: []byte("\x1f\x8bxxxxxxxxxxxxxxx")}, []string{"bad-gzip:\x1f\x8b"}},
		{"damaged zstd", Delivery{Body: []byte("\x28\xb5\x2f\xfdxxxxxxxxxxxxxxx")}, []string{"bad-zstd:\x28\xb5"}},
		{"not whole", Delivery{Failure: ReasonTooLarge, Body: []byte(two)}, []string{"too-large:" + two}},
		{"one value of many bytes", Delivery{Body: []byte(`{"a":"` + strings.Repeat("x", 200_000) + `"}`)}, []string{`too-large:{"a":"xxx`}},
		{"one of many bytes, compressed", Delivery{Body: []byte(gz(`{"a":"` + strings.Repeat("x", 200_000) + `"}`))}, []string{`bomb:{"a":"xxx`}},
		{"bomb of spaces", Delivery{Body: []byte(gz(strings.Repeat(" ", 200_000)))}, []string{"bomb:\x1f\x8b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, events, _ := newTestIntake(Config{Decompressed: 100_000})
			tt.d.Source, tt.d.Tenant, tt.d.Auth, tt.d.Received = "okta", "prod", nagare.AuthPass, noon
			result, err := in.Accept(t.Context(), tt.d)
			if err != nil {
				t.Fatal(err)
			}
			if result.Accepted != len(tt.want) || len(events.events) != len(tt.want) {
				t.Fatalf("accepted %d, put %d, want %d: %+v", result.Accepted, len(events.events), len(tt.want), events.events)
			}
			dead := 0
			for i, ev := range events.events {
				got := string(ev.Body)
				if ev.Reason != "" {
					dead++
					got = ev.Reason + ":" + got
					got = got[:min(len(got), len(tt.want[i]))]
				}
				if got != tt.want[i] {
					t.Errorf("event %d = %q (%s), want %q", i, got, ev.Error, tt.want[i])
				}
				if _, err := ksuid.Parse(ev.ID); err != nil || ev.UID == "" || ev.Source != "okta" || ev.Tenant != "prod" || ev.Auth != nagare.AuthPass || !ev.Received.Equal(noon) {
					t.Errorf("envelope %+v", ev)
				}
			}
			if result.Dead != dead {
				t.Errorf("Dead = %d, want %d", result.Dead, dead)
			}
		})
	}
	t.Run("lines over the limit", func(t *testing.T) {
		in, events, _ := newTestIntake(Config{Decompressed: 100_000})
		result, err := in.Accept(t.Context(), Delivery{Source: "okta", Body: []byte(bomb)})
		if err != nil {
			t.Fatal(err)
		}
		bombs := 0
		for _, ev := range events.events { // batches arrive in any order
			if ev.Reason == ReasonBomb {
				bombs++
			}
		}
		if result.Dead != 1 || result.Accepted != 9091+1 || bombs != 1 {
			t.Errorf("%+v, %d bombs; want what fits, and one dead letter", result, bombs)
		}
	})
}

func TestAcceptStreams(t *testing.T) {
	at := func(d time.Duration) string { return noon.Add(-d).Format(time.RFC3339Nano) }
	body := []byte(`{"id":"new","at":"` + at(6*time.Hour) + `"}{"id":"old","at":"` + at(6*time.Hour+1) + `"}{"id":"timeless"}{"id":"ahead","at":"` + at(-48*time.Hour) + `"}`)
	uids := func(m *memory) (out []string) {
		for _, ev := range m.events {
			out = append(out, ev.UID)
		}
		return out
	}
	in, events, bulk := newTestIntake(Config{})
	if _, err := in.Accept(t.Context(), Delivery{Source: "okta", Received: noon, Body: body}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new", "timeless", "ahead"}, uids(events)); diff != "" {
		t.Errorf("events stream:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"old"}, uids(bulk)); diff != "" {
		t.Errorf("bulk stream:\n%s", diff)
	}
	in, events, _ = newTestIntake(Config{})
	if _, err := in.Accept(t.Context(), Delivery{Source: "okta", Received: noon, Live: true, Body: body}); err != nil {
		t.Fatal(err)
	}
	if len(events.events) != 4 {
		t.Errorf("live: %d events, want all", len(events.events))
	}
}

// TestUIDs: what has no id is named so that a repeat has the same name and
// nothing else has.
func TestUIDs(t *testing.T) {
	uids := func(d Delivery) (out []string) {
		in, events, _ := newTestIntake(Config{})
		d.Source = "okta"
		if _, err := in.Accept(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for _, ev := range events.events {
			out = append(out, ev.UID)
		}
		return out
	}
	lines := "{\"x\":1}\n{\"x\":1}\n{\"x\":1}\nbad\nbad\n"
	file := uids(Delivery{Name: "a.json", Body: []byte(lines)})
	seen := map[string]bool{}
	for _, u := range file {
		seen[u] = true
	}
	if len(file) != 5 || len(seen) != 5 {
		t.Errorf("equal lines of a file: %q", file)
	}
	if got := uids(Delivery{Name: "b.json.gz", Body: []byte(gz(lines))}); !slices.Equal(got[:3], file[:3]) {
		t.Errorf("the same file, compressed, has other uids: %q and %q", file, got)
	}
	if got := uids(Delivery{Name: "a.json", Body: []byte(lines + "\n{\"x\":9}")}); got[0] == file[0] {
		t.Error("another file has the same uids")
	}
	if a, b := uids(Delivery{Body: []byte(`{"x":1}`)}), uids(Delivery{Body: []byte(" {\"x\":1}\n")}); a[0] != b[0] {
		t.Error("a single value is not named by its content")
	}
	if got := uids(Delivery{Body: []byte(`{"records":[{"x":1},{"x":1}]}`)}); got[0] == got[1] {
		t.Error("equal records of a delivery have one uid")
	}
	if got := uids(Delivery{Name: "f", Body: []byte(`{"mystery":true}`)}); got[0] != hash([]byte(`{"mystery":true}`)) {
		t.Error("where the head errs, the uid is not the hash of the body")
	}
}

func TestAcceptFails(t *testing.T) {
	in, events, _ := newTestIntake(Config{})
	events.err = errors.New("stream is gone")
	_, err := in.Accept(t.Context(), Delivery{Source: "okta", Body: []byte(`{}`)})
	if !errors.Is(err, events.err) {
		t.Errorf("err = %v", err)
	}
	disk := errors.New("bad sector")
	events.err = nil
	_, err = in.AcceptFile(t.Context(), Delivery{Source: "okta", Name: "f"}, io.MultiReader(strings.NewReader("{}\n{}\n"), iotest.ErrReader(disk)), nil)
	if !errors.Is(err, disk) {
		t.Errorf("an unreadable file is a dead letter: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.Accept(ctx, Delivery{Source: "okta", Body: []byte("{}\n{}")}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// endless is JSON lines without end, compressed, for a while.
func compressedLines(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		block := bytes.Repeat([]byte(`{"id":"a","pad":"`+strings.Repeat("x", 1000)+"\"}\n"), 1000)
		for range n {
			if _, err := z.Write(block); err != nil {
				break
			}
		}
		w.CloseWithError(z.Close())
	}()
	return r
}

// TestFileInLittleMemory reads 60 MB of JSON lines out of a small .gz. Without
// fresh, bounded buffers and batches the heap would show it.
func TestFileInLittleMemory(t *testing.T) {
	in, events, _ := newTestIntake(Config{})
	events.forget = true
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak := uint64(0)
	read := int64(0)
	result, err := in.AcceptFile(t.Context(), Delivery{Source: "okta", Name: "big.json.gz"}, compressedLines(60), func(n int64) {
		if n < read {
			t.Errorf("progress went back from %d to %d", read, n)
		}
		read = n
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Accepted != 60_000 || result.Dead != 0 || events.count != 60_000 || read == 0 {
		t.Errorf("%+v, %d put, %d bytes read", result, events.count, read)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}

// TestBombInLittleMemory: a small body that decompresses to a hundred megabytes of
// one value, of lines and of blanks.
func TestBombInLittleMemory(t *testing.T) {
	for name, block := range map[string]string{
		"zeros":     strings.Repeat("\x00", 1<<20),
		"blanks":    strings.Repeat(" ", 1<<20),
		"one value": "[" + strings.Repeat("0,", 1<<19),
		"text":      strings.Repeat("{\"a\":\"", 1<<18),
		"lines":     strings.Repeat("{\"id\":\"a\",\"b\":\""+strings.Repeat("x", 1000)+"\"}\n", 1<<10),
	} {
		var body bytes.Buffer
		z, _ := zstd.NewWriter(&body)
		for range 100 {
			z.Write([]byte(block))
		}
		z.Close()
		in, events, bulk := newTestIntake(Config{})
		events.forget, bulk.forget = true, true
		in.heads.New = func() any { return quickHead{} }
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		result, err := in.Accept(t.Context(), Delivery{Source: "okta", Body: body.Bytes()})
		if err != nil || result.Dead == 0 || result.Dead > maxDead+2 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 200<<20 {
			t.Errorf("%s: the heap grew by %d MB", name, grown>>20)
		}
		t.Logf("%s: %d bytes sent, %d events of which %d dead, %v", name, body.Len(), result.Accepted, result.Dead, time.Since(start))
	}
}

func TestFileUIDsNeedTheWholeFile(t *testing.T) {
	lines := strings.Repeat("{\"x\":1}\n", 20_000)
	name := filepath.Join(t.TempDir(), "f.json")
	if err := os.WriteFile(name, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, events, _ := newTestIntake(Config{InOrder: true})
	if _, err := in.AcceptFile(t.Context(), Delivery{Source: "okta", Name: "f.json"}, f, nil); err != nil {
		t.Fatal(err)
	}
	in, again, _ := newTestIntake(Config{InOrder: true})
	if _, err := in.Accept(t.Context(), Delivery{Source: "okta", Name: "g", Body: []byte(lines)}); err != nil {
		t.Fatal(err)
	}
	if len(events.events) != 20_000 || events.events[7].UID != again.events[7].UID {
		t.Error("a file as a file and as a delivery has two names")
	}
	// A pipe cannot be read twice; its events are named all the same.
	in, piped, _ := newTestIntake(Config{})
	if _, err := in.AcceptFile(t.Context(), Delivery{Source: "okta", Name: "-"}, io.MultiReader(strings.NewReader(lines)), nil); err != nil {
		t.Fatal(err)
	}
	if piped.events[0].UID == piped.events[1].UID {
		t.Error("equal lines of a pipe have one uid")
	}
}

// TestStream: an adapter that reads as it goes takes files of any size; what is
// wrong with the wrapping is the sender's, and what fails beneath is not.
func TestStream(t *testing.T) {
	in, events, _ := newTestIntake(Config{Decompressed: 10_000, Adapters: map[string]Adapter{"lines": {
		Wants: func(in Input) bool { return true },
		Stream: func(_ context.Context, in Input, r *bufio.Reader, emit func(Item) error) error {
			for {
				line, err := r.ReadString('\n')
				if line != "" {
					if err := emit(Item{Body: fmt.Appendf(nil, `{"n":%d}`, len(line))}); err != nil {
						return err
					}
				}
				if err != nil && err != io.EOF {
					return err
				}
				if err != nil {
					return nil
				}
			}
		},
	}}})
	d := Delivery{Source: "lines", Name: "big.log"}
	if _, err := in.AcceptFile(t.Context(), d, strings.NewReader(strings.Repeat("0123456789\n", 5000)), nil); err != nil {
		t.Fatal(err)
	}
	if n := len(events.events); n != 5000 {
		t.Fatalf("%d events", n)
	}
	if events.events[0].UID == events.events[1].UID {
		t.Error("two rows have one uid")
	}
	whole := gz(strings.Repeat("0123456789\n", 5000))
	if _, err := in.AcceptFile(t.Context(), d, strings.NewReader(whole[:len(whole)-8]), nil); err != nil {
		t.Fatal(err)
	}
	// Batches are put side by side, so it need not be the last.
	if !slices.ContainsFunc(events.events, func(e nagare.Event) bool { return e.Reason == ReasonBadGzip }) {
		t.Error("nothing says that the file is cut short")
	}
	broken := errors.New("the disk is gone")
	if _, err := in.AcceptFile(t.Context(), d, io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)), nil); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the reader", err)
	}
}

func TestAdapters(t *testing.T) {
	in, events, _ := newTestIntake(Config{Decompressed: 10_000, Adapters: map[string]Adapter{
		"shout": {
			Wants: func(in Input) bool { return bytes.HasPrefix(in.Body, []byte("!")) },
			Read: func(_ context.Context, in Input, emit func(Item) error) error {
				for word := range bytes.FieldsSeq(in.Body[1:]) {
					item := Item{Body: fmt.Appendf(nil, `{"word":%q}`, word)}
					switch string(word) {
					case "id":
						item.UID = "given"
					case "bad":
						item.Reason, item.Error = ReasonBadRow, "a bad word"
					case "stop":
						return &Refusal{ReasonBadForm, errors.New("stopped")}
					case "err":
						return errors.New("confused")
					}
					if err := emit(item); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}})
	for _, body := range []string{"!a id bad stop", "!b err", `{"id":"c"}`, "!" + strings.Repeat("x", 20_000), gz("!d")} {
		if _, err := in.Accept(t.Context(), Delivery{Source: "shout", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, ev := range events.events {
		s := ev.Reason + " " + string(ev.Body[:min(20, len(ev.Body))])
		if ev.UID == "given" {
			s += " given"
		}
		got = append(got, s)
	}
	want := []string{
		` {"word":"a"}`, ` {"word":"id"} given`, `bad-row {"word":"bad"}`, `bad-form !a id bad stop`,
		` {"word":"b"}`, `not-json !b err`, ` {"id":"c"}`, `too-large !xxxxxxxxxxxxxxxxxxx`, ` {"word":"d"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMark: what a header says of a delivery stands in each of its objects, also
// in those that an adapter found, and in no dead letter.
func TestMark(t *testing.T) {
	in, events, _ := newTestIntake(Config{Adapters: map[string]Adapter{
		"marked": {
			Wants: func(in Input) bool { return bytes.HasPrefix(in.Body, []byte("!")) },
			Read: func(_ context.Context, in Input, emit func(Item) error) error {
				return emit(Item{Body: in.Body[1:]})
			},
			Mark: func(event string, object []byte) []byte {
				return append(fmt.Appendf(nil, `{"event":%q,`, event), object[1:]...)
			},
		},
	}})
	for _, d := range []Delivery{
		{Source: "marked", Event: "star", Body: []byte(`{"a":1}`)},
		{Source: "marked", Event: "star", Body: []byte(`!{"a":2}`)},
		{Source: "marked", Event: "star", Body: []byte(`{"a":`)},
		{Source: "marked", Body: []byte(`{"a":3}`)},
		{Source: "other", Event: "star", Body: []byte(`{"a":4}`)},
	} {
		if _, err := in.Accept(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, ev := range events.events {
		got = append(got, string(ev.Body))
	}
	if diff := cmp.Diff([]string{`{"event":"star","a":1}`, `{"event":"star","a":2}`, `{"a":`, `{"a":3}`, `{"a":4}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzAccept: whatever comes is accepted, and within its limits.
func FuzzAccept(f *testing.F) {
	for _, tt := range splitCases {
		f.Add([]byte(tt.text), "")
		f.Add([]byte(gz(tt.text)), "text/plain; charset=euc-jp")
	}
	f.Add([]byte(utf16le("{}")), "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		in, events, _ := newTestIntake(Config{Decompressed: 10_000})
		result, err := in.Accept(t.Context(), Delivery{Source: "okta", Body: body, ContentType: contentType})
		if err != nil {
			t.Fatal(err)
		}
		if result.Accepted != len(events.events) || result.Dead > result.Accepted {
			t.Fatalf("%+v with %d events", result, len(events.events))
		}
		for _, ev := range events.events {
			if ev.UID == "" || ev.Reason == "" && !json.Valid(ev.Body) || ev.Reason != "" && len(ev.Body) > deadBytes {
				t.Fatalf("%+v", ev)
			}
		}
	})
}

func BenchmarkAccept(b *testing.B) {
	line := []byte(`{"uuid":"0123456789","published":"2026-07-03T01:00:00.000Z","actor":{"id":"00u","displayName":"User Number"},"client":{"ip":"198.51.100.1","ua":[1,2,3]}}` + "\n")
	text := bytes.Repeat(line, 20_000)
	in, events, _ := newTestIntake(Config{})
	in.heads.New = func() any { return quickHead{} }
	events.forget = true
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := in.AcceptFile(b.Context(), Delivery{Source: "okta", Name: "f"}, bytes.NewReader(text), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*20_000)/b.Elapsed().Seconds(), "events/s")
}

// quickHead costs nothing, so that the benchmark shows what intake does.
type quickHead struct{}

func (quickHead) Split(_ string, body []byte, _ mapping.HeadMeta) ([]mapping.HeadEvent, error) {
	return []mapping.HeadEvent{{UID: "0123456789", Time: noon, Body: body}}, nil
}
