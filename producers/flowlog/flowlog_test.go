package flowlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nagare/producers"
)

// rows reads a delivery; a dead row is reason:text.
func rows(t testing.TB, cfg Config, body string) []string {
	t.Helper()
	var out []string
	err := Adapter(cfg).Stream(t.Context(), producers.Input{}, bufio.NewReader(strings.NewReader(body)), func(item producers.Item) error {
		s := string(item.Body)
		switch {
		case item.Reason != "":
			s = item.Reason + ":" + s
			if item.Error == "" {
				t.Error("a dead row without an explanation")
			}
		case !json.Valid(item.Body):
			t.Errorf("no JSON: %s", item.Body)
		case item.UID != "":
			s = item.UID + "=" + s
		}
		out = append(out, s)
		return nil
	})
	var refused *producers.Refusal
	if errors.As(err, &refused) {
		return append(out, refused.Reason)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	plain   = "2 123456789012 eni-1 198.51.100.7 10.0.3.21 51544 22 6 4 240 1760000000 1760000060 REJECT OK"
	plainIs = `{"version":"2","account_id":"123456789012","interface_id":"eni-1","srcaddr":"198.51.100.7","dstaddr":"10.0.3.21","srcport":"51544","dstport":"22","protocol":"6","packets":"4","bytes":"240","start":"1760000000","end":"1760000060","action":"REJECT","log_status":"OK"}`
)

func TestRows(t *testing.T) {
	const header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
	for _, tt := range []struct {
		name, format, body string
		want               []string
	}{
		{"default, header", "", header + plain + "\n", []string{plainIs}},
		{"default, no header", "", plain, []string{plainIs}},
		{"no data", "", "2 123456789012 eni-1 - - - - - - - 1760000000 1760000060 - NODATA", []string{`{"version":"2","account_id":"123456789012","interface_id":"eni-1","start":"1760000000","end":"1760000060","log_status":"NODATA"}`}},
		{"any order", "", "dstaddr srcaddr flow-direction vpc-id\r\n10.0.0.1 192.0.2.1 ingress vpc-1\r\n", []string{`{"dstaddr":"10.0.0.1","srcaddr":"192.0.2.1","flow_direction":"ingress","vpc_id":"vpc-1"}`}},
		{"underscores, tabs", "", "account_id\tsrcaddr\n1\t192.0.2.1\n", []string{`{"account_id":"1","srcaddr":"192.0.2.1"}`}},
		{"commas", "", "\"account_id\",\"srcaddr\",action\n1,,ACCEPT\n\"2\",\"192.0.2.1\",-\n", []string{`{"account_id":"1","action":"ACCEPT"}`, `{"account_id":"2","srcaddr":"192.0.2.1"}`}},
		{"two spaces", "", "account-id  srcaddr \n 1  192.0.2.1\n", []string{`{"account_id":"1","srcaddr":"192.0.2.1"}`}},
		{"a field of tomorrow", "", "version srcaddr quantum-state\n11 192.0.2.1 up\n", []string{`{"version":"11","srcaddr":"192.0.2.1","quantum-state":"up"}`}},
		{"the packet's address", "", "srcaddr dstaddr pkt-srcaddr pkt-dstaddr\n192.0.2.1 10.0.0.1 192.0.2.1 10.0.9.9\n", []string{`{"srcaddr":"192.0.2.1","dstaddr":"10.0.0.1","pkt_dstaddr":"10.0.9.9"}`}},
		{"two files in one", "", "srcaddr action\n192.0.2.1 ACCEPT\naction srcaddr\nREJECT 192.0.2.2\n", []string{`{"srcaddr":"192.0.2.1","action":"ACCEPT"}`, `{"action":"REJECT","srcaddr":"192.0.2.2"}`}},
		{"ragged", "", "srcaddr action\n192.0.2.1\n192.0.2.1 ACCEPT more\n\n192.0.2.2 REJECT", []string{"bad-row:192.0.2.1", "bad-row:192.0.2.1 ACCEPT more", `{"srcaddr":"192.0.2.2","action":"REJECT"}`}},
		{"no header, not the default", "", "vpc-1 10.0.0.1 ACCEPT\n" + plain, []string{"no-header:vpc-1 10.0.0.1 ACCEPT", plainIs}},
		{"fourteen fields of another format", "", strings.Replace(plain, "2 ", "5 ", 1), []string{"no-header:" + strings.Replace(plain, "2 ", "5 ", 1)}},
		{"a format", "${vpc-id} ${srcaddr} ${action}", "vpc-1 10.0.0.1 ACCEPT\n", []string{`{"vpc_id":"vpc-1","srcaddr":"10.0.0.1","action":"ACCEPT"}`}},
		{"a header overrules the format", "${vpc-id} ${srcaddr} ${action}", header + plain, []string{plainIs}},
		{"the same name twice", "", "srcaddr srcaddr\n10.0.0.1 10.0.0.2\n", []string{`{"srcaddr":"10.0.0.1","srcaddr_2":"10.0.0.2"}`}},
		{"letters that need care", "", "srcaddr resource-id\n10.0.0.1 a\"\\\x01é\n", []string{`{"srcaddr":"10.0.0.1","resource_id":"a\"\\\u0001é"}`}},
		{"garbage", "", "\x00\x01\x02", []string{"no-header:\x00\x01\x02"}},
		{"empty", "", " \n", nil},
		{"Parquet", "", "PAR1\x15\x04\n\n", []string{"parquet"}},
		{"CloudWatch Logs", "", `{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{"id":"37","timestamp":1760000000000,"message":"` + plain + `"},{"id":"38","message":"x y"},{"id":"39","message":"{\"srcaddr\":\"10.0.0.1\"}"}]}`,
			[]string{"37=" + plainIs, "no-header:x y", `39={"srcaddr":"10.0.0.1"}`}},
		{"a test of CloudWatch Logs", "", `{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","message":"CWL CONTROL MESSAGE: Checking health of destination"}]}`, nil},
		{"Firehose", "", `{"message":"` + plain + `"}` + "\n" + `{"message":"` + plain + `"}`, []string{plainIs, plainIs}},
		{"objects", "", `[{"account-id":"1","srcaddr":"-","tcp_flags":null,"interfaceId":"eni-1","srcPort":54321,"subNetId":"s","start":1760000000,"x-y":{"a":1}}]`,
			[]string{`{"account_id":"1","interface_id":"eni-1","srcport":54321,"subnet_id":"s","start":1760000000,"x-y":{"a":1}}`}},
		{"broken JSON costs a line", "", "{\"srcaddr\":}\n{\"srcaddr\":\"10.0.0.1\"}\n}{\n{\"dstaddr\":\"10.0.0.2\"}\n", []string{`not-json:{"srcaddr":}`, `{"srcaddr":"10.0.0.1"}`, "not-json:}{", `{"dstaddr":"10.0.0.2"}`}},
		{"no objects", "", `[1,[2],"x"]`, []string{"not-an-object:1", "not-an-object:[2]", `not-an-object:"x"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, rows(t, Config{Format: tt.format}, tt.body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestBounded: a file in an unknown format does not become a million dead
// letters.
func TestBounded(t *testing.T) {
	got := rows(t, Config{}, strings.Repeat("a b\n", 5000))
	if len(got) != maxDead+1 || got[maxDead] != ReasonNoHeader {
		t.Errorf("%d items, the last %q", len(got), got[len(got)-1])
	}
	long := strings.Repeat("x", maxLine+5000)
	if got := rows(t, Config{}, "srcaddr\n"+long+"\n10.0.0.1\n"); len(got) != 2 || !strings.HasPrefix(got[0], producers.ReasonBadRow) || got[1] != `{"srcaddr":"10.0.0.1"}` {
		t.Errorf("a line that is too long: %d items", len(got))
	}
	if got := rows(t, Config{}, `{"a":"`+strings.Repeat("x", maxValue)+"\"}\n"+`{"srcaddr":"10.0.0.1"}`); len(got) != 2 || !strings.HasPrefix(got[0], producers.ReasonNotJSON) || got[1] != `{"srcaddr":"10.0.0.1"}` {
		t.Errorf("a value that is too long: %d items", len(got))
	}
	if got := rows(t, Config{}, strings.Repeat("x ", maxColumns+1)); len(got) != 1 || !strings.HasPrefix(got[0], producers.ReasonBadRow) {
		t.Errorf("too many fields: %.50q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("version srcaddr\n2 10.0.0.1\n", "")
	f.Add(plain, "${version} ${srcaddr}")
	f.Add(`{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","message":"2 3"}]}`, "")
	f.Add(`[{"account-id":"1","srcaddr":"-"},[]]{"message":"a b c d"}`, "x")
	f.Add("{\"a\":\n}{", "")
	f.Fuzz(func(t *testing.T, body, format string) {
		n := 0
		for _, r := range rows(t, Config{Format: format}, body) {
			n += len(r)
		}
		// A row is its text and a name for each of its fields.
		if most := (len(body) + 64) * (64 + len(format)); n > most {
			t.Errorf("%d bytes of %d", n, len(body))
		}
	})
}

func BenchmarkRead(b *testing.B) {
	body := []byte(strings.Repeat(plain+"\n", 1000))
	a := Adapter(Config{})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Stream(b.Context(), producers.Input{}, bufio.NewReader(bytes.NewReader(body)), func(producers.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
