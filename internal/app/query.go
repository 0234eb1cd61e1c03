package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"nagare/internal/config"
	"nagare/internal/query"
	"nagare/ocsf"
)

// openLake opens the lake for questions. It needs the lake's folder and
// nothing else, so it works beside a running up and without one.
func openLake(ctx context.Context, o Options) (*query.DB, error) {
	c := config.Default()
	if name := o.configFile(); name != "" {
		var sources []string
		loaded, problems := config.Load(name, sources)
		for _, p := range problems {
			if p.Code == "unreadable" || p.Code == "yaml" {
				return nil, &Usage{errors.New(p.String())}
			}
		}
		c = loaded
	}
	if _, err := os.Stat(o.lakeDir(c.Lake.Dir)); err != nil {
		if c.Lake.Dir != "" {
			return nil, usagef("no lake in lake.dir of %s: %w; correct it, or start nagare up or serve, which makes one", o.configFile(), err)
		}
		if err := o.needData(false); err != nil {
			return nil, err
		}
	}
	schema, err := ocsf.Load(ocsf.Version)
	if err != nil {
		return nil, err
	}
	// A lake in an older version of OCSF has the same views: what its files
	// lack is null, also inside of structs, so questions and reports run on
	// both.
	var views []query.View
	for _, class := range schema.Classes {
		v := query.View{Name: class.Name, UID: class.UID}
		for _, col := range schema.Columns(class) {
			v.Columns = append(v.Columns, query.Column{Name: col.Name, Type: col.SQLType()})
		}
		views = append(views, v)
	}
	return query.Open(ctx, query.Config{LakeDir: o.lakeDir(c.Lake.Dir), Views: views, Log: o.Log})
}

// Query asks the lake a question.
func Query(ctx context.Context, o Options, sql, format string, out io.Writer) error {
	db, err := openLake(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(ask(func() (query.Result, error) { return db.Query(ctx, sql) }, format, out), db.Close())
}

func ask(question func() (query.Result, error), format string, out io.Writer) error {
	res, err := question()
	if err == nil {
		_, err = query.Write(out, format, res)
		err = errors.Join(err, res.Close())
	}
	if errors.Is(err, query.ErrBadSQL) || errors.Is(err, query.ErrParam) {
		return &Usage{err}
	}
	return err
}

// ReportList lists the reports.
func ReportList(_ context.Context, _ Options, format string, out io.Writer) error {
	reports, err := query.Reports()
	if err != nil {
		return err
	}
	l := listing{columns: []string{"name", "params", "title"}}
	for _, r := range reports {
		var params []string
		for _, name := range slices.Sorted(maps.Keys(r.Params)) {
			params = append(params, name+"="+r.Params[name].Default)
		}
		l.add(map[string]any{"name": r.Name, "title": r.Title, "params": params}, r.Name, strings.Join(params, " "), r.Title)
	}
	return l.print(out, format)
}

func reportNamed(name string) (*query.Report, error) {
	reports, err := query.Reports()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range reports {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return nil, usagef("there is no report %q; there are %s", name, strings.Join(names, ", "))
}

// ReportShow shows what a report asks.
func ReportShow(_ context.Context, _ Options, name string, out io.Writer) error {
	r, err := reportNamed(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n\n%s\n", r.Title, strings.TrimSpace(r.Description))
	for _, p := range slices.Sorted(maps.Keys(r.Params)) {
		fmt.Fprintf(out, "\n--param %s=%s  %s", p, r.Params[p].Default, r.Params[p].Description)
	}
	_, err = fmt.Fprintf(out, "\n\n%s\n", r.SQL)
	return err
}

// ReportRun asks a report's question. What the answer rests on goes to notes.
func ReportRun(ctx context.Context, o Options, name string, params map[string]string, format string, out, notes io.Writer) error {
	r, err := reportNamed(name)
	if err != nil {
		return err
	}
	db, err := openLake(ctx, o)
	if err != nil {
		return err
	}
	err = ask(func() (query.Result, error) { return r.Run(ctx, db, params) }, format, out)
	if err == nil {
		var c query.Coverage
		if c, err = r.Coverage(ctx, db); err == nil {
			fmt.Fprintln(notes, c)
			if days, ok := r.Params["days"]; ok {
				var n int
				asked := params["days"]
				if asked == "" {
					asked = days.Default
				}
				if _, e := fmt.Sscan(asked, &n); e == nil && c.Events > 0 && time.Since(c.First) < time.Duration(n)*24*time.Hour {
					fmt.Fprintf(notes, "not enough history: the lake looks back %.1f days of the %d asked for\n", time.Since(c.First).Hours()/24, n)
				}
			}
		}
	}
	return errors.Join(err, db.Close())
}
