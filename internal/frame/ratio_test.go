package frame

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/segmentio/ksuid"

	"nagare"
)

// ownID finds the id that the mapping of such a source takes as uid.
var ownID = regexp.MustCompile(`"(?:eventID|auditID|correlationId|uuid|_id|id)": ?"([^"]{16,})"`)

// TestRatio measures frames of 256 KiB, the size at which the writer closes
// one, over the sample events of each source, and holds the promise: 8 times
// on CloudTrail, 5 times on every source with at least 100 events. It counts the
// batch with its envelopes; the samples are too few to fill many frames.
func TestRatio(t *testing.T) {
	dirs, _ := filepath.Glob("../../../shared/data/*")
	if len(dirs) == 0 {
		t.Skip("the sample events are not here")
	}
	for _, dir := range dirs {
		var events []nagare.Event
		files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			id := ksuid.New()
			for line := range bytes.Lines(data) {
				id = id.Next() // as intake numbers the events of a delivery
				uid := fmt.Sprintf("%x", HashKey("uid", fmt.Sprint(len(events))))
				if m := ownID.FindSubmatch(line); m != nil {
					uid = string(m[1])
				}
				events = append(events, nagare.Event{
					ID: id.String(), Source: filepath.Base(dir), Auth: nagare.AuthPass, Received: received,
					Time: received.Add(-time.Duration(len(events)) * 7 * time.Millisecond), UID: uid, Body: bytes.TrimSpace(line),
				})
			}
		}
		if len(events) < 100 {
			continue
		}
		rawSize, bodies, size := 0, 0, 0
		var e Encoder
		flush := func() {
			out, err := e.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			rawSize, size = rawSize+e.RawSize(), size+len(out)
			e.Reset()
		}
		for i := range events {
			e.Add(&events[i])
			bodies += len(events[i].Body)
			if e.RawSize() >= 256<<10 {
				flush()
			}
		}
		if e.Len() > 0 {
			flush()
		}
		ratio := float64(rawSize) / float64(size)
		t.Logf("%-20s %5d events, %7d bytes of bodies, %7d with envelopes, %6d as frames: %.1f times (bodies alone %.1f)",
			filepath.Base(dir), len(events), bodies, rawSize, size, ratio, float64(bodies)/float64(size))
		want := 5.0
		if filepath.Base(dir) == "aws_cloudtrail" {
			want = 8
		}
		if ratio < want {
			t.Errorf("%s: the batch shrinks %.1f times, want %.0f", filepath.Base(dir), ratio, want)
		}
	}
}
