package coord_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nagare/internal/coord"
	"nagare/internal/coord/coordtest"
)

// emulated is a configuration for a table of an emulator.
func emulated(url, table string) coord.DynamoDBConfig {
	return coord.DynamoDBConfig{
		AWS:      aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")},
		Endpoint: url, Table: table, Stats: &coord.DynamoDBStats{},
	}
}

func openDynamoDB(t *testing.T, cfg coord.DynamoDBConfig) coord.Store {
	t.Helper()
	s, err := coord.OpenDynamoDB(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// raw is a client of the emulator beside the store.
func raw(cfg coord.DynamoDBConfig) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg.AWS, func(o *dynamodb.Options) { o.BaseEndpoint = &cfg.Endpoint })
}

// TestDynamoDB runs everything that needs an emulator on one, a table each.
func TestDynamoDB(t *testing.T) {
	url := coordtest.Dynalite(t)
	for table, test := range map[string]func(*testing.T, coord.DynamoDBConfig){
		"suite": suite, "each-fault": eachFault, "overtaken": lostAndOvertaken, "faults": someFaults,
		"deleted": tableDeleted, "busy": busy, "others": othersTable,
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			test(t, emulated(url, table))
		})
	}
}

func suite(t *testing.T, cfg coord.DynamoDBConfig) {
	cfg.TryTime = 10 * time.Second // the machine may be busy
	coordtest.Run(t, func(t *testing.T) coord.Store { return openDynamoDB(t, cfg) })
	st := cfg.Stats
	if st.Failed.Load() != 0 || st.Throttled.Load() != 0 || st.ReadBacks.Load() != 0 || st.Tables.Load() != 1 {
		t.Errorf("with nothing failing: %d failed, %d throttled, %d read back, %d tables", st.Failed.Load(), st.Throttled.Load(), st.ReadBacks.Load(), st.Tables.Load())
	}
}

// eachFault brings each fault to each request of each operation: the outcome
// must be as without.
func eachFault(t *testing.T, cfg coord.DynamoDBConfig) {
	client := &faulty{next: func() fault { return none }}
	cfg.AWS.HTTPClient, cfg.TryTime = client, 300*time.Millisecond
	s := openDynamoDB(t, cfg)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for f := refuse; f < faults; f++ {
		for n := int64(0); ; n++ {
			part := fmt.Sprint(f, n)
			client.made.Store(0)
			client.next = nth(n, f)
			v, err := s.Put(ctx, part, "a", []byte("one"), 0)
			must(err)
			_, err = s.Put(ctx, part, "a", []byte("no"), 0)
			if !errors.Is(err, coord.ErrConflict) {
				t.Errorf("%v at request %d: making a row that is there: %v", f, n, err)
			}
			next, err := s.Put(ctx, part, "a", []byte("two"), v)
			must(err)
			if next != v+1 {
				t.Errorf("%v at request %d: version %d after %d", f, n, next, v)
			}
			if _, err = s.Put(ctx, part, "a", []byte("no"), v); !errors.Is(err, coord.ErrConflict) {
				t.Errorf("%v at request %d: a stale write: %v", f, n, err)
			}
			if r, err := s.Get(ctx, part, "a"); err != nil || string(r.Value) != "two" || r.Version != next {
				t.Errorf("%v at request %d: the row is %+v, %v", f, n, r, err)
			}
			if rows, err := s.List(ctx, part, "", 10); err != nil || len(rows) != 1 {
				t.Errorf("%v at request %d: the list is %+v, %v", f, n, rows, err)
			}
			if err := s.Delete(ctx, part, "a", v); !errors.Is(err, coord.ErrConflict) {
				t.Errorf("%v at request %d: a stale delete: %v", f, n, err)
			}
			// Whether the row was removed by this call or by another nobody can
			// say when its answer was lost, and it must not be claimed.
			err = s.Delete(ctx, part, "a", next)
			lost := client.made.Load() == 1 && f != refuse && f != throttle
			if err != nil && (!lost || errors.Is(err, coord.ErrConflict)) {
				t.Errorf("%v at request %d: delete: %v", f, n, err)
			}
			if _, err := s.Get(ctx, part, "a"); !errors.Is(err, coord.ErrNotFound) {
				t.Errorf("%v at request %d: after the delete: %v", f, n, err)
			}
			if client.made.Load() == 0 {
				if n < 9 {
					t.Fatalf("%v: only %d requests", f, n)
				}
				break // nothing left to fail
			}
		}
	}
	client.wait.Wait()
}

// lostAndOvertaken loses the answer of an applied write, and lets another
// change the row before it can be read back.
func lostAndOvertaken(t *testing.T, cfg coord.DynamoDBConfig) {
	ctx := t.Context()
	other := openDynamoDB(t, cfg)
	client := &faulty{}
	cfg.AWS.HTTPClient = client
	var meanwhile func()
	client.next = func() fault { // the first is applied and lost; then something happens
		if m := meanwhile; m != nil {
			client.next = func() fault {
				client.next = func() fault { return none }
				m()
				return none
			}
			return drop
		}
		return none
	}
	choose := client.next
	s := openDynamoDB(t, cfg)
	put := func(value string, v int64) int64 {
		t.Helper()
		next, err := other.Put(ctx, "p", "a", []byte(value), v)
		if err != nil {
			t.Error(err)
		}
		return next
	}
	del := func(v int64) {
		t.Helper()
		if err := other.Delete(ctx, "p", "a", v); err != nil {
			t.Error(err)
		}
	}
	current := func() int64 {
		r, err := other.Get(ctx, "p", "a")
		if err != nil {
			return 0
		}
		return r.Version
	}
	for name, c := range map[string]struct {
		before    bool // there is a row
		del       bool
		meanwhile func()
		want      string // "won", "lost" or "unknown"
	}{
		"made, changed since":             {false, false, func() { put("x", current()) }, "won"},
		"made, removed since":             {false, false, func() { del(current()) }, "sent again"},
		"made, removed, made by another":  {false, false, func() { del(current()); put("x", 0) }, "lost"},
		"written, untouched":              {true, false, func() {}, "won"},
		"written, changed since":          {true, false, func() { put("x", current()) }, "unknown"},
		"written, removed since":          {true, false, func() { del(current()) }, "unknown"},
		"written, removed, made anew":     {true, false, func() { del(current()); put("x", 0) }, "unknown"},
		"removed":                         {true, true, func() {}, "unknown"},
		"removed, made anew by another":   {true, true, func() { put("x", 0) }, "unknown"},
		"removed, made anew, and changed": {true, true, func() { put("y", put("x", 0)) }, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			if v := current(); v != 0 {
				del(v)
			}
			var v int64
			if c.before {
				v = put("before", 0)
			}
			meanwhile, client.next = c.meanwhile, choose
			var err error
			if c.del {
				err = s.Delete(ctx, "p", "a", v)
			} else {
				_, err = s.Put(ctx, "p", "a", []byte("mine"), v)
			}
			got := "won"
			if errors.Is(err, coord.ErrConflict) {
				got = "lost"
			} else if err != nil {
				got = "unknown"
			} else if r, gerr := other.Get(ctx, "p", "a"); gerr == nil && string(r.Value) == "mine" && name == "made, removed since" {
				got = "sent again"
			}
			if got != c.want {
				t.Errorf("outcome %s (%v), want %s", got, err, c.want)
			}
			if r, err := other.Get(ctx, "p", "a"); strings.HasSuffix(name, "by another") && (err != nil || string(r.Value) != "x") {
				t.Errorf("another's row is %q, %v", r.Value, err)
			}
		})
	}
}

// someFaults runs races and counters while a third of all requests fail in all
// ways.
func someFaults(t *testing.T, cfg coord.DynamoDBConfig) {
	client := &faulty{next: random(1, 1.0/3)}
	cfg.AWS.HTTPClient, cfg.TryTime, cfg.RetryFor = client, 200*time.Millisecond, 30*time.Second
	a, b := openDynamoDB(t, cfg), openDynamoDB(t, cfg)
	version := coordtest.Race(t, "race", 100, 0, a, b)
	for range 3 {
		version = coordtest.Race(t, "race", 16, version, a, b)
	}
	unknown := coordtest.Counter(t, "counter", 4, 15, a, b)
	coordtest.Tenures(t, "tenures", 60, func(s coord.Store) {
		if r, err := s.Get(t.Context(), "tenures", "a"); err == nil {
			_ = s.Delete(t.Context(), "tenures", "a", r.Version)
		}
	}, a, b)
	client.wait.Wait()
	st := cfg.Stats
	t.Logf("%d requests, %d with a fault; %d read back, %d unknown (%d of them in the counter)", st.Requests.Load(), client.made.Load(), st.ReadBacks.Load(), st.Unknown.Load(), unknown)
	if client.made.Load() < 100 || st.ReadBacks.Load() == 0 {
		t.Error("hardly anything failed: nothing was tested")
	}
}

// tableDeleted removes the whole table under workers that hold and count.
func tableDeleted(t *testing.T, cfg coord.DynamoDBConfig) {
	s, other := openDynamoDB(t, cfg), openDynamoDB(t, cfg)
	ctx, client := t.Context(), raw(cfg)
	remove := func(coord.Store) {
		for ctx.Err() == nil {
			_, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &cfg.Table})
			var busy *types.ResourceInUseException // still being made
			if !errors.As(err, &busy) {
				return
			}
		}
	}
	v, err := s.Put(ctx, "p", "a", []byte("x"), 0)
	if err != nil {
		t.Fatal(err)
	}
	remove(s)
	if _, err := s.Get(ctx, "p", "a"); !errors.Is(err, coord.ErrNotFound) {
		t.Errorf("Get after the table was removed: %v, want ErrNotFound", err)
	}
	remove(s)
	if rows, err := other.List(ctx, "p", "", 10); err != nil || len(rows) != 0 {
		t.Errorf("List after the table was removed: %v, %v", rows, err)
	}
	remove(s)
	if _, err := s.Put(ctx, "p", "a", []byte("x"), v); !errors.Is(err, coord.ErrConflict) {
		t.Errorf("Put on the row that went with the table: %v, want ErrConflict", err)
	}
	remove(s)
	if _, err := s.Put(ctx, "p", "a", []byte("x"), 0); err != nil {
		t.Errorf("Put of a row after the table was removed: %v", err)
	}
	coordtest.Tenures(t, "tenures", 100, remove, s, other)
	if n := cfg.Stats.Tables.Load(); n < 5 {
		t.Errorf("the table was made %d times", n)
	}
}

// busy holds what a service that is always busy, or never answers, costs.
func busy(t *testing.T, cfg coord.DynamoDBConfig) {
	client := &faulty{next: func() fault { return none }}
	cfg.AWS.HTTPClient, cfg.TryTime, cfg.RetryFor = client, 50*time.Millisecond, 300*time.Millisecond
	s := openDynamoDB(t, cfg)
	for _, f := range []fault{refuse, throttle, drop, late} {
		client.next = func() fault { return f }
		before := cfg.Stats.Requests.Load()
		_, err := s.Put(t.Context(), "busy", "a", []byte("x"), 0)
		if err == nil || errors.Is(err, coord.ErrConflict) || errors.Is(err, coord.ErrNotFound) {
			t.Errorf("%v always: Put = %v, want an error that says so", f, err)
		}
		if unknown := strings.Contains(fmt.Sprint(err), "outcome is unknown"); unknown == (f == throttle) {
			t.Errorf("%v always: %v", f, err)
		}
		if _, err := s.Get(t.Context(), "busy", "a"); err == nil || errors.Is(err, coord.ErrNotFound) {
			t.Errorf("%v always: Get = %v, want an error that says so", f, err)
		}
		if n := cfg.Stats.Requests.Load() - before; n < 4 || n > 100 {
			t.Errorf("%v always: %d requests", f, n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before = cfg.Stats.Requests.Load()
		if _, err := s.Put(ctx, "busy", "b", nil, 0); !errors.Is(err, context.Canceled) || cfg.Stats.Requests.Load() != before {
			t.Errorf("cancelled: %v after %d requests", err, cfg.Stats.Requests.Load()-before)
		}
	}
	client.wait.Wait()
}

// othersTable holds that a table that is not ours is refused, or not touched.
func othersTable(t *testing.T, cfg coord.DynamoDBConfig) {
	ctx, client := t.Context(), raw(cfg)
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &cfg.Table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("ShardID"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("ShardID"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := coord.OpenDynamoDB(ctx, cfg); err == nil || !strings.Contains(err.Error(), `partition key is "ShardID"`) {
		t.Errorf("a table with other keys: %v", err)
	}
	cfg.Table = "others-items"
	s := openDynamoDB(t, cfg)
	for i, item := range []map[string]types.AttributeValue{
		{},
		{"version": &types.AttributeValueMemberS{Value: "1"}},
		{"version": &types.AttributeValueMemberN{Value: "-1"}},
		{"version": &types.AttributeValueMemberN{Value: "1e30"}},
		{"version": &types.AttributeValueMemberN{Value: "1"}, "value": &types.AttributeValueMemberBOOL{Value: true}},
	} {
		part := fmt.Sprint("p", i)
		item["part"], item["sort"] = &types.AttributeValueMemberS{Value: part}, &types.AttributeValueMemberS{Value: "a"}
		if _, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &cfg.Table, Item: item}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, part, "a"); err == nil || errors.Is(err, coord.ErrNotFound) || !strings.Contains(err.Error(), "not written by this program") {
			t.Errorf("Get of foreign item %d: %v", i, err)
		}
		if _, err := s.List(ctx, part, "", 10); err == nil {
			t.Errorf("List of foreign item %d: no error", i)
		}
		if _, err := s.Put(ctx, part, "a", nil, 0); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("Put over foreign item %d: %v, want ErrConflict", i, err)
		}
	}
}

// table is the description of a table that can be used.
const table = `{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"part","KeyType":"HASH"},{"AttributeName":"sort","KeyType":"RANGE"}],` +
	`"AttributeDefinitions":[{"AttributeName":"part","AttributeType":"S"},{"AttributeName":"sort","AttributeType":"S"}]}}`

// TestDynamoDBHostile has answers that no service gives: none may be believed,
// kept whole or waited for without end.
func TestDynamoDBHostile(t *testing.T) {
	const row = `{"part":{"S":"p"},"sort":{"S":"a"},"version":{"N":"7"}}`
	for name, body := range map[string]string{
		"not JSON":        "<html>",
		"empty":           "",
		"endless":         `{"Item":{"part":{"S":"p"},"sort":{"S":"a"},"version":{"N":"7"},"value":{"S":"` + strings.Repeat("x", 20<<20) + `"}}}`,
		"deep":            `{"Item":` + strings.Repeat(`{"M":`, 10000),
		"an empty page":   `{"Items":[],"LastEvaluatedKey":` + row + `}`,
		"the same page":   `{"Items":[` + row + `],"LastEvaluatedKey":` + row + `}`,
		"another's rows":  `{"Items":[{"part":{"S":"q"},"sort":{"S":"a"},"version":{"N":"7"}}]}`,
		"rows of nothing": `{"Items":[{}]}`,
		"another's row":   `{"Item":{"part":{"S":"p"},"sort":{"S":"b"},"version":{"N":"7"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeTable") {
					w.Write([]byte(table))
					return
				}
				w.Write([]byte(body))
			}))
			defer server.Close()
			cfg := emulated(server.URL, "hostile")
			cfg.RetryFor = 100 * time.Millisecond
			s := openDynamoDB(t, cfg)
			if rows, err := s.List(t.Context(), "p", "", 10); err == nil && len(rows) > 0 {
				t.Errorf("List = %d rows", len(rows))
			}
			if r, err := s.Get(t.Context(), "p", "a"); err == nil {
				t.Errorf("Get = %+v", r)
			}
		})
	}
}

// TestDynamoDBUnusable holds that what cannot work says so at once.
func TestDynamoDBUnusable(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		code := "AccessDeniedException"
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeTable") {
			code = "ResourceNotFoundException"
		}
		fmt.Fprintf(w, `{"__type":"com.amazon.coral.service#%s","message":"not you"}`, code)
	}))
	defer refusing.Close()
	mayNotMake := emulated(refusing.URL, "nagare")
	nobody := emulated(refusing.URL, "nagare")
	nobody.AWS.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no credentials anywhere")
	})
	nowhere := emulated("", "nagare")
	nowhere.Endpoint, nowhere.AWS.Region = "", ""
	away := emulated("http://127.0.0.1:1", "nagare")
	away.RetryFor = 200 * time.Millisecond
	for want, cfg := range map[string]coord.DynamoDBConfig{
		`making it was refused`: mayNotMake, "no credentials anywhere": nobody, "egion": nowhere, "connection refused": away,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := coord.OpenDynamoDB(ctx, cfg)
		if err == nil || !strings.Contains(err.Error(), want) || ctx.Err() != nil {
			t.Errorf("%v, want an error about %q", err, want)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte("secret")) {
			t.Errorf("a secret is in %v", err)
		}
		cancel()
	}
}

// says is a service that answers everything but the question for its table
// with the same body.
type says []byte

func (b says) Do(req *http.Request) (*http.Response, error) {
	body := []byte(b)
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "DescribeTable") {
		body = []byte(table)
	}
	return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// FuzzDynamoDBAnswer holds that no answer makes the store panic, and that a row
// it believes is one that it could have written.
func FuzzDynamoDBAnswer(f *testing.F) {
	const row = `{"part":{"S":"p"},"sort":{"S":"a"},"version":{"N":"7"},"attempt":{"S":"x"},"value":{"S":"{}"}}`
	for _, seed := range []string{
		`{}`, `null`, `{"Item":` + row + `}`, `{"Item":{"part":{"S":"p"},"sort":{"S":"a"},"version":{"N":"7"},"value":{"B":"AP8="}}}`,
		`{"Items":[` + row + `]}`, `{"Items":[` + row + `],"LastEvaluatedKey":` + row + `}`, `{"Item":{"version":{"L":[{"M":{}}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		cfg := emulated("http://127.0.0.1:1", "fuzz")
		cfg.AWS.HTTPClient, cfg.RetryFor = says(body), time.Millisecond
		s := openDynamoDB(t, cfg)
		if r, err := s.Get(t.Context(), "p", "a"); err == nil && (r.Part != "p" || r.Sort != "a" || r.Version < 1 || r.Value == nil) {
			t.Errorf("Get = %+v", r)
		}
		rows, err := s.List(t.Context(), "p", "", 3)
		for _, r := range rows {
			if err != nil || r.Version < 1 || r.Part != "p" || r.Sort == "" {
				t.Errorf("List has %+v, %v", r, err)
			}
		}
		if len(rows) > 3 {
			t.Errorf("List = %d rows", len(rows))
		}
	})
}
