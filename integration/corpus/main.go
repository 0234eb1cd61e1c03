// Command corpus prints what nagare makes of folders of real events: make
// corpus. A folder that is not there is left out.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// folders says which source each folder's events are of.
var folders = []struct{ dir, source string }{
	{"microsoft_defender_xdr", "defender"},
	{"microsoft_graph_alerts", "defender"},
	{"entra_signin", "entra"},
	{"entra_audit", "entra"},
	{"m365_audit", "m365"},
	{"azure_activity", "azure"},
	{"okta_system_log", "okta"},
	{"google_workspace", "google"},
	{"github_audit", "github"},
	{"github_webhook", "github"},
	{"github_syslog", "github"},
	{"slack_audit", "slack"},
	{"onepassword", "onepassword"},
	{"aws_cloudtrail", "cloudtrail"},
	{"aws_cloudtrail_s3objects", "cloudtrail"},
	{"aws_cloudtrail_eventbridge", "cloudtrail"},
	{"aws_cloudtrail_lookupevents", "cloudtrail"},
	{"aws_guardduty", "guardduty"},
	{"aws_securityhub", "securityhub"},
	{"aws_vpc_flow", "vpcflow"},
	{"aws_route53_resolver", "route53"},
	{"aws_waf", "waf"},
	{"gcp_audit", "gcp"},
	{"datadog_webhook_synthetic", "datadog"},
	{"mail_mime", "mail"},
	{"ses_notification_synthetic", "mail"},
	{"csv_manual", "directory"},
	{"csv_synthetic_jp", "directory"},
}

// summary is a line of nagare map --summary --format json.
type summary struct {
	File       string           `json:"file"`
	Source     string           `json:"source"`
	Sources    map[string]int64 `json:"sources"`
	Events     int64            `json:"events"`
	Classes    map[string]int64 `json:"classes"`
	Valid      int64            `json:"valid"`
	LastResort int64            `json:"last_resort"`
	Unknown    map[string]int64 `json:"unknown"`
	Unmapped   int64            `json:"unmapped"`
	Dead       map[string]int64 `json:"dead"`
	MBPerS     float64          `json:"mb_per_s"`
}

func main() {
	nagare := flag.String("nagare", "bin/nagare", "the program")
	data := flag.String("data", "../shared/data", "the folder of folders")
	flag.Parse()
	if err := run(os.Stdout, *nagare, *data); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, nagare, data string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "folder\tsource\tevents\tvalid\tspecific class\tdead letters\tMB/s\trecognised by itself\ttypes without a class")
	n := 0
	for _, f := range folders {
		files, err := filesOf(filepath.Join(data, f.dir))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			continue
		}
		n++
		named, err := mapped(nagare, files, "--source", f.source)
		if err != nil && strings.Contains(err.Error(), "there is no source") {
			fmt.Fprintf(w, "%s\t%s\tno mapping\t\t\t\t\t\t\n", f.dir, f.source)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.dir, err)
		}
		alone, err := mapped(nagare, files)
		if err != nil {
			return fmt.Errorf("%s: %w", f.dir, err)
		}
		var t total
		for _, s := range named {
			t.add(s)
		}
		// Of events without a source the right one is found.
		var right int64
		for _, s := range alone {
			right += s.Sources[f.source]
		}
		speed, err := speed(nagare, files, f.source, t)
		if err != nil {
			return fmt.Errorf("%s: %w", f.dir, err)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%.0f\t%s\t%s\n", f.dir, f.source, t.events, percent(t.valid, t.mapped()), percent(t.mapped()-t.classes["base_event"], t.mapped()),
			counts(t.dead, 9), speed, percent(right, t.mapped()), counts(t.unknown, 4))
	}
	if n == 0 {
		fmt.Fprintf(out, "no folder of events is in %s\n", data)
		return nil
	}
	return w.Flush()
}

// filesOf are the files of a folder that hold events.
func filesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != "SOURCE.txt" && e.Name() != "README.md" {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// mapped runs nagare map --summary.
func mapped(nagare string, files []string, flags ...string) ([]summary, error) {
	args := slices.Concat([]string{"map", "--summary", "--format", "json"}, flags, files)
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(nagare, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var out []summary
	dec := json.NewDecoder(&stdout)
	for dec.More() {
		var s summary
		if err := dec.Decode(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) != len(files) { // an exit code alone says that there are dead letters
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// enough is how many bytes a measurement of speed takes at least.
const enough = 16 << 20

// speed is how many MB of a folder's events a second go through intake,
// mapping and validation. Files of a few events say little of that, so JSON is
// repeated in one file until there is enough of it.
func speed(nagare string, files []string, source string, t total) (float64, error) {
	var all []byte
	for _, name := range files {
		if ext := filepath.Ext(name); ext != ".json" && ext != ".jsonl" {
			return float64(t.bytes) / 1e6 / max(t.seconds, 1e-9), nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		all = append(append(all, text...), '\n')
	}
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "repeated.json")
	if err := os.WriteFile(name, bytes.Repeat(all, 1+enough/len(all)), 0o600); err != nil {
		return 0, err
	}
	s, err := mapped(nagare, []string{name}, "--source", source)
	if err != nil {
		return 0, err
	}
	return s[0].MBPerS, nil
}

type total struct {
	events, valid, bytes   int64
	seconds                float64
	classes, dead, unknown map[string]int64
}

func (t *total) add(s summary) {
	t.events += s.Events
	t.valid += s.Valid
	if info, err := os.Stat(s.File); err == nil && s.MBPerS > 0 {
		t.bytes += info.Size()
		t.seconds += float64(info.Size()) / 1e6 / s.MBPerS
	}
	for _, m := range []struct {
		to   *map[string]int64
		from map[string]int64
	}{{&t.classes, s.Classes}, {&t.dead, s.Dead}, {&t.unknown, s.Unknown}} {
		if *m.to == nil {
			*m.to = map[string]int64{}
		}
		for k, n := range m.from {
			(*m.to)[k] += n
		}
	}
}

// mapped is the number of events that became OCSF.
func (t *total) mapped() (n int64) {
	for _, c := range t.classes {
		n += c
	}
	return n
}

func percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// counts shows the largest counts.
func counts(m map[string]int64, most int) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for i, k := range names {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more", len(names)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}
