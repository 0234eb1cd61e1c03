package lake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nagare"
)

// Names of objects. A lake name holds the number of the commit, so that only
// one content can ever have it.

// LedgerPart is where the ledger rows of an application's shards lie; they are
// sorted by shard id.
func LedgerPart(app, stream string) string { return "ledger/" + app + "/" + stream }

func stagePrefix(app, stream, shard string) string {
	return fmt.Sprintf("stage/%s/%s/%s/", app, stream, shard)
}

// stageKey is the folder of one attempt; n is the ledger's before the commit.
func stageKey(app, stream, shard string, n int64, attempt string) string {
	return fmt.Sprintf("%s%012d/%s/", stagePrefix(app, stream, shard), n, attempt)
}

// stream8 is a short name of a stream, the same for ever.
func stream8(stream string) string {
	sum := sha256.Sum256([]byte(stream))
	return hex.EncodeToString(sum[:4])
}

// ClassPrefix is where the objects of a class lie.
func ClassPrefix(classUID int) string { return fmt.Sprintf("ext/nagare_%d/", classUID) }

func lakeKey(classUID int, region, account string, d day, stream, shard string, n int64, k int) string {
	return fmt.Sprintf("%sregion=%s/accountId=%s/eventDay=%s/%s-%s-%012d-%03d.zstd.parquet",
		ClassPrefix(classUID), region, account, d, stream8(stream), shard, n, k)
}

func archivePrefix(stream, shard string) string {
	return fmt.Sprintf("archive/%s/%s/", stream, shard)
}

func archiveKey(stream, shard string, n int64, first time.Time) string {
	return fmt.Sprintf("%s%012d-%s.frames", archivePrefix(stream, shard), n, first.UTC().Format("20060102T150405Z"))
}

// stageOf takes the key of a staged object apart: whose it is, and the number
// that the ledger had before its commit.
func stageOf(key string) (app, stream, shard string, n int64, name string, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 7 || parts[0] != "stage" {
		return "", "", "", 0, "", false
	}
	n, ok = number(parts[4])
	return parts[1], parts[2], parts[3], n, parts[6], ok
}

// publishedOf takes the key of an object of the lake, or of dead letters,
// apart: the short name of the stream, the shard, the number of the commit.
func publishedOf(key string) (short, shard string, n int64, ok bool) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	switch {
	case strings.HasPrefix(key, deadPrefix):
		name, ok = strings.CutSuffix(name, ".jsonl.zst")
	default:
		if name, ok = strings.CutSuffix(name, ".zstd.parquet"); ok {
			i := strings.LastIndexByte(name, '-') // what counts the files of a commit
			name = name[:max(i, 0)]
		}
	}
	first, last := strings.IndexByte(name, '-'), strings.LastIndexByte(name, '-')
	if !ok || first < 0 || first == last {
		return "", "", 0, false
	}
	n, ok = number(name[last+1:])
	return name[:first], name[first+1 : last], n, ok
}

// archiveOf takes the key of an archive object apart.
func archiveOf(key string) (stream, shard string, n int64, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 {
		return "", "", 0, false
	}
	digits, _, _ := strings.Cut(parts[3], "-")
	n, ok = number(digits)
	return parts[1], parts[2], n, ok && strings.HasSuffix(key, ".frames")
}

// number reads the number of a commit: twelve digits, or more.
func number(digits string) (int64, bool) {
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n >= 0 && len(digits) >= 12
}

const deadPrefix = "deadletters/"

func deadKey(stream, shard string, n int64, last time.Time) string {
	return fmt.Sprintf("%s%s/%s-%s-%012d.jsonl.zst", deadPrefix, last.UTC().Format("20060102"), stream8(stream), shard, n)
}

// A day is a day in UTC, counted from 1970.
type day int32

func dayOf(t time.Time) day {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return day(d)
}

func (d day) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format("20060102") }

// Events that claim to be from long before anybody had such logs, or from the
// future, lie under the day they arrived.
var oldest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const maxAhead = time.Hour

// eventDay is the partition of an event. ms is its time, if it has one.
func eventDay(ms int64, has bool, ev *nagare.Event) day {
	arrived := ev.Received
	if arrived.IsZero() {
		arrived = ev.Pos.Arrived
	}
	if t := time.UnixMilli(ms); has && !t.Before(oldest) && !t.After(arrived.Add(maxAhead)) {
		return dayOf(t)
	}
	return dayOf(arrived)
}
