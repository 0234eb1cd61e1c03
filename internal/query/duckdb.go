//go:build !nosql

package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// A DB is the lake, open for questions.
type DB struct {
	db   *sql.DB
	conn *sql.Conn
	cfg  Config
}

// Open makes the views and closes the sandbox around them. Files that are
// published later are seen by questions asked later.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.MemoryLimit == "" {
		cfg.MemoryLimit = "1GB"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.LakeDir)
	if err != nil {
		return nil, err
	}
	cfg.LakeDir = dir
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	d := &DB{db: sql.OpenDB(connector), cfg: cfg}
	if d.conn, err = d.db.Conn(ctx); err == nil {
		err = d.setUp(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("query: %w", err), d.Close())
	}
	return d, nil
}

// setUp makes the views, then locks everything else out. The order matters:
// what is locked stays locked.
func (d *DB) setUp(ctx context.Context) error {
	statements := []string{
		"SET memory_limit = " + quote(d.cfg.MemoryLimit),
		"SET threads = 2",
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET TimeZone = 'UTC'",
		"SET temp_directory = ''",
	}
	for _, v := range d.cfg.Views {
		s, err := d.view(v)
		if err != nil {
			return err
		}
		statements = append(statements, s)
	}
	statements = append(statements,
		"SET allowed_directories = ["+quote(d.cfg.LakeDir+string(filepath.Separator))+"]",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	)
	for _, s := range statements {
		if _, err := d.conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", firstWords(s), err)
		}
	}
	return nil
}

func firstWords(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// view is the statement that makes a class's view: over its files, or empty.
func (d *DB) view(v View) (string, error) {
	dir := filepath.Join(d.cfg.LakeDir, "ext", fmt.Sprintf("nagare_%d", v.UID))
	found, err := hasParquet(dir)
	if err != nil {
		return "", err
	}
	if found {
		// Brackets and stars in the lake's own name are no pattern.
		pattern := escapeGlob(dir) + "/region=*/accountId=*/eventDay=*/*.parquet"
		return fmt.Sprintf("CREATE VIEW %s AS SELECT * FROM read_parquet(%s, hive_partitioning = true, hive_types_autocast = false, union_by_name = true)",
			ident(v.Name), quote(pattern)), nil
	}
	var cols []string
	for _, c := range append(v.Columns[:len(v.Columns):len(v.Columns)], Column{"region", "VARCHAR"}, Column{"accountId", "VARCHAR"}, Column{"eventDay", "VARCHAR"}) {
		cols = append(cols, fmt.Sprintf("CAST(NULL AS %s) AS %s", c.Type, ident(c.Name)))
	}
	return fmt.Sprintf("CREATE VIEW %s AS SELECT %s WHERE false", ident(v.Name), strings.Join(cols, ", ")), nil
}

// hasParquet says whether a folder has a Parquet file below it.
func hasParquet(dir string) (bool, error) {
	found := errors.New("found")
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !e.IsDir() && strings.HasSuffix(name, ".parquet"):
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return true, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	return false, nil
}

func escapeGlob(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '*', '?', '[', ']':
			b.WriteString("[" + string(r) + "]")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// Query asks a question. An error that it is to blame for wraps ErrBadSQL.
func (d *DB) Query(ctx context.Context, text string, args ...any) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	rows, err := d.conn.QueryContext(ctx, text, args...)
	if err != nil {
		cancel()
		return nil, d.explain(ctx, err)
	}
	names, err := rows.Columns()
	if err != nil {
		cancel()
		return nil, errors.Join(err, rows.Close())
	}
	return &result{db: d, ctx: ctx, cancel: cancel, rows: rows, names: names}, nil
}

// explain tells what the question did wrong from what happened to it.
func (d *DB) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("query: stopped after %s: %w", d.cfg.Timeout, context.Cause(ctx))
	}
	var de *duckdb.Error
	if !errors.As(err, &de) {
		return fmt.Errorf("query: %w", err)
	}
	switch de.Type {
	case duckdb.ErrorTypeParser, duckdb.ErrorTypeSyntax, duckdb.ErrorTypeBinder, duckdb.ErrorTypeCatalog, duckdb.ErrorTypeConversion,
		duckdb.ErrorTypeInvalidInput, duckdb.ErrorTypePermission, duckdb.ErrorTypeMismatchType, duckdb.ErrorTypeOutOfRange, duckdb.ErrorTypeNotImplemented,
		duckdb.ErrorTypeSettings, duckdb.ErrorTypeExpression, duckdb.ErrorTypeInvalid, duckdb.ErrorTypeDivideByZero, duckdb.ErrorTypeParameterNotResolved,
		duckdb.ErrorTypeParameterNotAllowed, duckdb.ErrorTypeMissingExtension, duckdb.ErrorTypeAutoLoad, duckdb.ErrorTypeDependency, duckdb.ErrorTypePlanner:
		return fmt.Errorf("%w: %s", ErrBadSQL, strings.TrimSpace(de.Msg))
	}
	return fmt.Errorf("query: %w", err)
}

// Close closes the lake.
func (d *DB) Close() error {
	var err error
	if d.conn != nil {
		err = d.conn.Close()
	}
	return errors.Join(err, d.db.Close())
}

type result struct {
	db     *DB
	ctx    context.Context
	cancel context.CancelFunc
	rows   *sql.Rows
	names  []string
}

// Columns implements Result.
func (r *result) Columns() []string { return r.names }

// Next implements Result.
func (r *result) Next() ([]any, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return nil, r.db.explain(r.ctx, err)
		}
		return nil, io.EOF
	}
	values := make([]any, len(r.names))
	ptrs := make([]any, len(values))
	for i := range values {
		ptrs[i] = &values[i]
	}
	if err := r.rows.Scan(ptrs...); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	for i := range values {
		values[i] = plainValue(values[i])
	}
	return values, nil
}

// Close implements Result.
func (r *result) Close() error {
	err := r.rows.Close()
	r.cancel()
	return err
}

// plainValue turns what the driver returns into what encoding/json knows.
func plainValue(v any) any {
	switch x := v.(type) {
	case duckdb.Map:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[fmt.Sprint(k)] = plainValue(e)
		}
		return m
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[k] = plainValue(e)
		}
		return m
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = plainValue(e)
		}
		return out
	case duckdb.Decimal:
		return number(x.String())
	case duckdb.Interval:
		return fmt.Sprintf("%d months %d days %s", x.Months, x.Days, time.Duration(x.Micros)*time.Microsecond)
	case time.Time:
		return x.UTC()
	}
	return v
}
