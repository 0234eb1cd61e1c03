//go:build cgo && !nosql

package query

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryClassHasAView(t *testing.T) {
	views := classes(t)
	db := opened(t, Config{LakeDir: filepath.Join(t.TempDir(), "not-there-yet"), Views: views})
	for _, name := range []string{"authentication", "user_inventory", "inventory_info", "detection_finding", "base_event", ActivityView} {
		if got := ask(t, db, "SELECT count(*) AS n FROM "+name, "json"); got != "{\"n\":0}\n" {
			t.Errorf("%s: %s", name, got)
		}
	}
	got := ask(t, db, "SELECT user.email_addr, region, accountId, eventDay FROM authentication", "csv")
	if got != "email_addr,region,accountId,eventDay\n" {
		t.Errorf("columns of an empty class: %q", got)
	}
}

func TestObjectsOfALake(t *testing.T) {
	views := classes(t)
	auth := view(t, views, "authentication")
	for _, name := range []string{"lake", "it's a \"lake\"", "lake [1]", "lake *?", "湖 {a,b} %20", "[[]lake"} {
		t.Run(name, func(t *testing.T) {
			lake := filepath.Join(t.TempDir(), name)
			write(t, lake, auth, "region=local/accountId=012345678901/eventDay=20261101/a.parquet",
				obj{"time": 1000, "user": obj{"email_addr": "taro@example.com"}, "unmapped": obj{"nagare.seq": "49590338271490256608559692538361571095921575989136588898"}})
			// An older object, without all of today's columns.
			old := auth
			old.Columns = []Column{{"time", "BIGINT"}}
			write(t, lake, old, day("20261031", "b"), obj{"time": 500})
			db := opened(t, Config{LakeDir: lake, Views: views})
			got := ask(t, db, `SELECT "time", "user".email_addr AS who, unmapped['nagare.seq'] AS seq, region, accountId, eventDay FROM authentication ORDER BY "time" DESC`, "json")
			want := `{"time":1000,"who":"taro@example.com","seq":"49590338271490256608559692538361571095921575989136588898","region":"local","accountId":"012345678901","eventDay":"20261101"}
{"time":500,"who":null,"seq":null,"region":"local","accountId":"external","eventDay":"20261031"}
`
			if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			// What is published later is seen.
			write(t, lake, auth, day("20261102", "c"), obj{"time": 2000})
			if got := ask(t, db, "SELECT count(*) AS n FROM authentication WHERE eventDay = '20261102'", "json"); got != "{\"n\":1}\n" {
				t.Errorf("an object published later: %s", got)
			}
		})
	}
}

func TestOnlyTheAskedDaysAreRead(t *testing.T) {
	views := classes(t)
	lake := t.TempDir()
	for _, d := range []string{"20261101", "20261102", "20261103"} {
		write(t, lake, view(t, views, "authentication"), day(d, "a"), obj{"time": 1})
	}
	db := opened(t, Config{LakeDir: lake, Views: views})
	plan := ask(t, db, `EXPLAIN ANALYZE SELECT "time" FROM authentication WHERE eventDay = '20261102'`, "json")
	if !strings.Contains(plan, "1/3") {
		t.Errorf("the plan does not say that one of three files is read: %s", plan)
	}
}

func TestSandbox(t *testing.T) {
	views := classes(t)
	root := t.TempDir()
	lake := filepath.Join(root, "lake")
	write(t, lake, view(t, views, "authentication"), day("20261101", "a"), obj{"time": 1})
	secret := filepath.Join(root, "lake-secret.csv") // the lake's name is a prefix of it
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db := opened(t, Config{LakeDir: lake, Views: views})
	for _, question := range []string{
		"SELECT * FROM read_csv('/etc/passwd')",
		"SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM '/etc/passwd'",
		"SELECT * FROM read_text(" + text(secret) + ")",
		"SELECT * FROM " + text(secret),
		"SELECT * FROM read_text(" + text(lake+"/../lake-secret.csv") + ")",
		"SELECT * FROM glob('/etc/*')",
		"SELECT * FROM read_parquet('s3://bucket/x.parquet')",
		"SELECT * FROM read_parquet('https://example.com/x.parquet')",
		"COPY (SELECT 1) TO " + text(filepath.Join(root, "out.csv")),
		"COPY (SELECT 1) TO " + text(filepath.Join(lake, "out.csv")),
		"COPY (SELECT 1) TO " + text(filepath.Join(lake, "out.csv")) + "; SELECT 1",
		"SELECT 1; COPY (SELECT 1) TO " + text(filepath.Join(lake, "out.csv")),
		"EXPLAIN ANALYZE COPY (SELECT 1) TO " + text(filepath.Join(lake, "out.csv")),
		"EXPLAIN SELECT 1; COPY (SELECT 1) TO " + text(filepath.Join(lake, "out.csv")),
		"EXPORT DATABASE " + text(filepath.Join(lake, "out")),
		"ATTACH " + text(filepath.Join(lake, "out.db")),
		"INSTALL httpfs", "LOAD httpfs", "SET memory_limit = '100GB'", "RESET lock_configuration", "PRAGMA threads = 1",
		"DROP VIEW authentication", "CREATE TABLE t AS SELECT 1", "CREATE OR REPLACE VIEW authentication AS SELECT 1", "CALL checkpoint()",
		"SELECT 1; SELECT 2", "", ";", "-- nothing", "SELEC 1", "SELECT * FROM authentication WHERE",
		strings.Repeat("(", 2<<20),
	} {
		r, err := db.Query(t.Context(), question)
		if err == nil {
			for err == nil {
				_, err = r.Next()
			}
			r.Close()
		}
		if !errors.Is(err, ErrBadSQL) {
			t.Errorf("%.80q: %v, want ErrBadSQL", question, err)
		}
	}
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(name), "out") {
			t.Errorf("a question has made %s", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// After all that the lake is still there.
	if got := ask(t, db, "SELECT count(*) AS n FROM authentication", "json"); got != "{\"n\":1}\n" {
		t.Errorf("afterwards: %s", got)
	}
	for _, question := range []string{"WITH a AS (SELECT 1) SELECT * FROM a", "VALUES (1)", "FROM authentication", "DESCRIBE authentication", "SHOW TABLES",
		"SUMMARIZE authentication", "EXPLAIN SELECT 1", "SELECT 1;", "SELECT 1 -- one", "/* x */ SELECT 1; -- y"} {
		r, err := db.Query(t.Context(), question)
		if err != nil {
			t.Errorf("%q: %v", question, err)
			continue
		}
		r.Close()
	}
}

func TestBadSQLSaysWhatWouldBeRight(t *testing.T) {
	db := opened(t, Config{LakeDir: t.TempDir(), Views: classes(t)})
	for question, want := range map[string]string{
		"SELECT * FROM authentications":                  "the nearest view is authentication;",
		"SELECT * FROM user_inventry":                    "user_inventory",
		"SELECT * FROM zzzzzzzzzzzzzz":                   "SHOW TABLES lists them",
		"SELECT emial_addr FROM authentication":          "did you mean user.email_addr?",
		"SELECT email_addr FROM authentication":          "did you mean user.email_addr?",
		`SELECT "user".emailaddr FROM authentication`:    "email_addr",
		"SELECT\n  a b c\nFROM authentication":           "LINE 2",
		"SELECT * FROM read_text('/etc/passwd')":         "the lake and nothing else",
		"DELETE FROM authentication":                     "only SELECT is allowed",
		"SELECT sum(user) FROM authentication":           "sum(",
		"SELECT 'a'::INTEGER":                            "Could not convert",
		"SELECT count(*) FROM authentication GROUP BY 9": "GROUP BY",
	} {
		_, err := db.Query(t.Context(), question)
		if !errors.Is(err, ErrBadSQL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want ErrBadSQL with %q", question, err, want)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	const endless = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3"
	db := opened(t, Config{LakeDir: t.TempDir(), Timeout: 200 * time.Millisecond})
	start := time.Now()
	if _, err := db.Query(t.Context(), endless); err == nil || errors.Is(err, ErrBadSQL) || !strings.Contains(err.Error(), "took longer than 200ms") {
		t.Errorf("endless question: %v, want the time limit", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := db.Query(ctx, endless); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled question: %v, want the context's error", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	if got := ask(t, db, "SELECT 1 AS n", "json"); got != "{\"n\":1}\n" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestMemoryLimit(t *testing.T) {
	db := opened(t, Config{LakeDir: t.TempDir(), MemoryLimit: "50MB"})
	_, err := db.Query(t.Context(), "SELECT list(md5(range::VARCHAR)) FROM range(20000000)")
	if err == nil || errors.Is(err, ErrBadSQL) || !strings.Contains(err.Error(), "fewer days") {
		t.Errorf("a question too large: %v, want an error with advice", err)
	}
}
