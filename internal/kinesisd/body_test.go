package kinesisd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRefusalIsHeard sends all of a body before it looks for the answer, as
// most clients do: it gets the refusal, not a broken connection.
func TestRefusalIsHeard(t *testing.T) {
	s := open(t, Config{})
	go func() { _ = s.Run(t.Context()) }()
	for name, tt := range map[string]struct {
		target, kind, want string
		size               int
	}{
		"over the bound":       {"PutRecords", contentType, bodyTooLarge, maxPutBody + 8<<20},
		"over a small bound":   {"ListStreams", contentType, bodyTooLarge, 4 << 20},
		"no such call":         {"LaunchRocket", contentType, unknownOperation, 4 << 20},
		"of no type it speaks": {"PutRecords", "text/plain", serialization, 4 << 20},
	} {
		for _, chunked := range []bool{false, true} {
			conn, err := net.Dial("tcp", s.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			length := fmt.Sprintf("Content-Length: %d", tt.size)
			if chunked {
				length = "Transfer-Encoding: chunked"
			}
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nX-Amz-Target: %s%s\r\n%s\r\n\r\n", tt.kind, targetPrefix, tt.target, length)
			if chunked {
				fmt.Fprintf(conn, "%x\r\n", tt.size)
			}
			if _, err := io.Copy(conn, bytes.NewReader(bytes.Repeat([]byte{' '}, tt.size))); err != nil {
				t.Errorf("%s: send: %v", name, err)
			}
			if chunked {
				fmt.Fprint(conn, "\r\n0\r\n\r\n")
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s (chunked: %v): no answer: %v", name, chunked, err)
				continue
			}
			var out apiError
			if err := json.NewDecoder(answer.Body).Decode(&out); err != nil || out.Type != tt.want || !answer.Close {
				t.Errorf("%s (chunked: %v): answered %d %v %v, closing %v", name, chunked, answer.StatusCode, out, err, answer.Close)
			}
			_ = conn.Close()
		}
	}
}

// TestValuesAreBounded refuses bodies of very many small values in each call,
// before they are decoded.
func TestValuesAreBounded(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for name := range s.actions {
		for _, member := range []string{"Records", "Tags", "TagKeys", "x"} {
			body := fmt.Sprintf(`{"StreamName":"s",%q:[%s0]}`, member, strings.Repeat("0,", maxBodyValues+1))
			if code, out := post(t, s, name, body); code != http.StatusBadRequest || out["__type"] != serialization {
				t.Errorf("%s with many %s answered %d %v", name, member, code, out)
			}
		}
	}
	for _, unit := range []string{`0,`, `{},`, `[],`, `{"Data":""},`, `"\\\"",`, `{"x":{"y":1}},`} {
		body := `{"StreamName":"s","Records":[` + strings.Repeat(unit, maxPutBody/len(unit)-20) + `{}]}`
		n := testing.AllocsPerRun(1, func() { _, _ = post(t, s, "PutRecords", body) })
		if code, out := post(t, s, "PutRecords", body); code != http.StatusBadRequest || out["__type"] != serialization || n > 1000 {
			t.Errorf("%d MiB of %s answered %d %v with %v allocations", len(body)>>20, unit, code, out, n)
		}
	}
	// In CBOR, of a known and of an unknown length.
	for _, body := range [][]byte{
		append(appendHead(appendText([]byte{cborMap | 1}, "Records"), cborArray, 5_000_000), bytes.Repeat([]byte{cborMap}, 5_000_000)...),
		append(append(append(appendText([]byte{cborMap | 1}, "Records"), cborArray|31), bytes.Repeat([]byte{cborMap}, 5_000_000)...), 0xff),
	} {
		if code, out := postCBOR(t, s, "PutRecords", body); code != http.StatusBadRequest || out["__type"] != serialization {
			t.Errorf("%.12x answered %d %v", body, code, out)
		}
	}
	// What the API allows, in the longest way to say it, and a little more.
	record := `{ "Data" : "YQ==" , "PartitionKey" : "k,:[{\\\"" , "ExplicitHashKey" : "1" } ,`
	for n, want := range map[int]string{maxPutRecords: "", maxPutRecords + 1: validation} {
		body := `{"StreamName":"s","Records":[` + strings.TrimSuffix(strings.Repeat(record, n), ",") + `]}`
		if _, out := post(t, s, "PutRecords", body); out["__type"] != want && (want != "" || out["__type"] != nil) {
			t.Errorf("%d records answered %v", n, out["__type"])
		}
	}
}

// FuzzTooManyValues counts at least as many values as a decoder finds, in
// whatever is JSON.
func FuzzTooManyValues(f *testing.F) {
	for _, s := range []string{`{}`, `[0,0]`, `{"a":[{},{"b":"\\\",,,["}]}`, `"\\"`, `"\"`, `"`, `{"a\\":1,"b":[1,2]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var v any
		if json.Unmarshal([]byte(s), &v) != nil {
			tooManyValues([]byte(s))
			return
		}
		// The same value over and over is over the bound, whatever it is, and
		// a text of them is one value.
		if many := "[" + strings.Repeat(s+",", maxBodyValues+1) + s + "]"; len(many) < 4<<20 && !tooManyValues([]byte(many)) {
			t.Errorf("%d times %q are not too many", maxBodyValues, s)
		}
		text, err := json.Marshal(strings.Repeat(s, 100))
		if err != nil || tooManyValues(text) {
			t.Errorf("a text of %q is too much", s)
		}
	})
}

// TestStalledReadersHoldUpNobody asks for many full pages and takes none of
// them: another reader does not wait until they are given up.
func TestStalledReadersHoldUpNobody(t *testing.T) {
	s := open(t, Config{TailBytes: 1})
	go func() { _ = s.Run(t.Context()) }()
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for range 11 {
		put(t, s, strings.Repeat("x", 1<<20-1))
	}
	it := must(t, s, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)["ShardIterator"]
	body := fmt.Sprintf(`{"ShardIterator":%q}`, it)
	var stalled []net.Conn
	for range maxPagesInMemory/maxReadBytes + 2 {
		conn, err := net.Dial("tcp", s.ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_ = conn.(*net.TCPConn).SetReadBuffer(256 << 10)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nX-Amz-Target: %sGetRecords\r\nContent-Length: %d\r\n\r\n%s", contentType, targetPrefix, len(body), body)
		stalled = append(stalled, conn)
	}
	// All of them have a page, or wait for one.
	for full := false; !full; {
		s.pages.mu.Lock()
		full = s.pages.holders.Len() >= maxPagesInMemory/maxReadBytes
		s.pages.mu.Unlock()
	}
	must(t, s, "GetRecords", body)
	// It came because some were cut off, so they find their answer ended.
	ended := 0
	for _, conn := range stalled {
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
		}
		if err != nil {
			ended++
		}
	}
	if ended == 0 {
		t.Error("every stalled reader got its answer: nothing was cut off")
	}
}
