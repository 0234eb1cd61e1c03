package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
	"nagare/producers"
	"nagare/producers/datadog"
	"nagare/producers/flowlog"
	"nagare/producers/github"
	"nagare/producers/mail"
	"nagare/producers/upload"
)

// The corpus is real events, and hand-made ones where there are no real ones
// to be had, outside of the repository. It is read here as production reads
// it: intake with its adapters, the head of the mapping, the mapping.

// A folder is one of the corpus and what must come of it.
type folder struct {
	dir, source string
	// classes are how many events of each class there are at least; one that
	// is not named must not appear.
	classes map[string]int
	// dead are the dead letters, by reason: files and rows that are no events.
	dead map[string]int
	// suspect is how many events at most have no time, or none to believe.
	suspect int
	// made says that the events were made up for tests of rules, so that
	// several have the id of one.
	made bool
}

var corpus = []folder{
	// Rows of advanced hunting, and an alert. Every table is in the cases.
	{dir: "microsoft_defender_xdr", source: "defender", classes: map[string]int{"detection_finding": 1, "api_activity": 5}},
	{dir: "microsoft_graph_alerts", source: "defender", classes: map[string]int{"detection_finding": 2}},
	// Sign-ins, and changes of the directory.
	{dir: "entra_signin", source: "entra", classes: map[string]int{"authentication": 15, "account_change": 4, "user_access": 2, "entity_management": 5, "api_activity": 1}, made: true},
	// Two are recommendations.
	{dir: "azure_activity", source: "azure", classes: map[string]int{"api_activity": 122, "base_event": 2}, made: true},
	// Most have one id.
	{dir: "m365_audit", source: "m365", classes: map[string]int{"api_activity": 13}, made: true},
	{dir: "entra_audit", source: "entra", classes: map[string]int{"user_access": 1, "entity_management": 1}},
	{dir: "aws_cloudtrail", source: "cloudtrail", classes: map[string]int{"api_activity": 430, "authentication": 30, "account_change": 30}, suspect: 9, made: true},
	{dir: "aws_cloudtrail_s3objects", source: "cloudtrail", classes: map[string]int{"api_activity": 1950, "authentication": 32, "account_change": 50}},
	// One is the log of a database.
	{dir: "aws_cloudtrail_eventbridge", source: "cloudtrail", classes: map[string]int{"api_activity": 26, "account_change": 1, "base_event": 1}, suspect: 6, made: true},
	{dir: "aws_cloudtrail_lookupevents", source: "cloudtrail", classes: map[string]int{"api_activity": 3}},
	// None has a time: rows of tests of rules.
	{dir: "aws_vpc_flow", source: "vpcflow", classes: map[string]int{"network_activity": 10}, suspect: 10, made: true},
	{dir: "aws_waf", source: "waf", classes: map[string]int{"http_activity": 13}, made: true},
	// One comes from Security Lake.
	{dir: "aws_route53_resolver", source: "route53", classes: map[string]int{"dns_activity": 6}, made: true},
	{dir: "aws_securityhub", source: "securityhub", classes: map[string]int{"detection_finding": 6}, made: true},
	// Two rows of tests have nothing but an operation.
	{dir: "gcp_audit", source: "gcp", classes: map[string]int{"api_activity": 74, "account_change": 2, "user_access": 8, "entity_management": 7, "group_management": 2, "base_event": 2}, suspect: 20, made: true},
	{dir: "aws_guardduty", source: "guardduty", classes: map[string]int{"detection_finding": 4}, made: true},
	{dir: "okta_system_log", source: "okta", classes: map[string]int{"authentication": 11, "api_activity": 6, "account_change": 4, "user_access": 3, "entity_management": 2, "detection_finding": 1}, suspect: 6, made: true},
	// Four are tests of rules with hardly a field.
	{dir: "google_workspace", source: "google", classes: map[string]int{"api_activity": 31, "entity_management": 12, "account_change": 9, "authentication": 5}, suspect: 20, made: true},
	{dir: "github_audit", source: "github", classes: map[string]int{"entity_management": 36, "api_activity": 8, "user_access": 3, "group_management": 2, "detection_finding": 1}, suspect: 22, made: true},
	{dir: "github_webhook", source: "github", classes: map[string]int{"api_activity": 41}, suspect: 39, made: true},
	// The lines of syslog within Logstash's JSON.
	{dir: "github_syslog", source: "github", classes: map[string]int{"entity_management": 5, "account_change": 1, "api_activity": 1, "user_access": 1}, suspect: 3, made: true},
	{dir: "slack_audit", source: "slack", classes: map[string]int{"entity_management": 5, "account_change": 3, "api_activity": 5, "user_access": 3, "detection_finding": 2, "authentication": 1}, suspect: 7, made: true},
	{dir: "onepassword", source: "onepassword", classes: map[string]int{"api_activity": 2}, made: true},
	// Quotes inside of quotes cannot be mended.
	{dir: "datadog_webhook_synthetic", source: "datadog", classes: map[string]int{"detection_finding": 7}, dead: map[string]int{"not-json": 1}, suspect: 3},
	// One file has no header at all.
	{dir: "mail_mime", source: "mail", classes: map[string]int{"detection_finding": 181}, dead: map[string]int{"bad-mail": 1}, suspect: 63},
	// Two notifications, and the same two in an envelope.
	{dir: "ses_notification_synthetic", source: "mail", classes: map[string]int{"detection_finding": 4}},
	// A list of users, a honeypot's log, and an export of chats.
	{dir: "csv_manual", source: "directory", classes: map[string]int{"user_inventory": 4, "base_event": 278}},
	{dir: "csv_synthetic_jp", source: "directory", classes: map[string]int{"user_inventory": 30}},
}

func TestCorpus(t *testing.T) {
	root := filepath.Join("..", "..", "shared", "data")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the corpus is not here")
	}
	set := loadMappings(t)
	for _, f := range corpus {
		t.Run(f.dir, func(t *testing.T) {
			files, err := os.ReadDir(filepath.Join(root, f.dir))
			if err != nil {
				t.Skip(err)
			}
			c := &counts{classes: map[string]int{}, dead: map[string]int{}, uids: map[string]string{}, sc: &mapping.Scratch{}}
			for _, e := range files {
				if e.Name() != "SOURCE.txt" {
					c.file(t, set, f, filepath.Join(root, f.dir, e.Name()))
				}
			}
			t.Log(c.summary(f.source))
			if c.suspect > f.suspect {
				t.Errorf("%d events with a suspect time, want at most %d", c.suspect, f.suspect)
			}
			if c.repeats > 0 && !f.made {
				t.Errorf("%d events have the uid of another", c.repeats)
			}
			for name, n := range f.classes {
				if c.classes[name] < n {
					t.Errorf("%d events of class %s, want at least %d", c.classes[name], name, n)
				}
			}
			for name, n := range c.classes {
				if _, ok := f.classes[name]; !ok {
					t.Errorf("%d events of class %s, want none", n, name)
				}
			}
			if !maps.Equal(c.dead, f.dead) {
				t.Errorf("dead letters %v, want %v", c.dead, f.dead)
			}
		})
	}
}

// counts is what became of a folder.
type counts struct {
	events  int
	classes map[string]int
	dead    map[string]int
	uids    map[string]string // uid → body
	sc      *mapping.Scratch
	suspect int
	repeats int
}

func (c *counts) summary(source string) string {
	invalid := c.events - sum(c.classes) - sum(c.dead)
	last := int64(0)
	if st := c.sc.Stats(source); st != nil {
		last = st.LastResort
	}
	return fmt.Sprintf("events %d, classes %v, neither %d, last resort %d, dead %v", c.events, c.classes, invalid, last, c.dead)
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// file takes one file through intake and mapping.
func (c *counts) file(t *testing.T, set *mapping.Set, f folder, name string) {
	t.Helper()
	m, ok := set.Source(f.source)
	if !ok {
		t.Fatalf("no mapping for %s", f.source)
	}
	var out ocsf.Event
	for _, ev := range take(t, set, f.source, name) {
		c.events++
		if ev.Reason != "" {
			c.dead[ev.Reason]++
			continue
		}
		if body, ok := c.uids[ev.UID]; ok && body != string(ev.Body) {
			c.repeats++
		}
		c.uids[ev.UID] = string(ev.Body)
		if err := m.Normalize(&ev, &out, c.sc); err != nil {
			var dead *mapping.Dead
			if !errors.As(err, &dead) {
				t.Fatal(err)
			}
			c.dead[dead.Reason]++
			t.Logf("%s: %v: %.300s", filepath.Base(name), err, ev.Body)
			continue
		}
		c.classes[out.Layout.Class.Name]++
		for _, p := range ocsf.Validate(&out, nil) {
			t.Errorf("%s: %s: %s: %s\n%.500s", filepath.Base(name), out.Layout.Class.Name, p.Path, p.Message, ev.Body)
		}
		text := out.AppendJSON(nil)
		if !json.Valid(text) {
			t.Errorf("%s: no JSON: %s", name, text)
		}
		if bytes.Contains(text, []byte("time_suspect")) {
			c.suspect++
		}
	}
}

// take returns the events that intake makes of a file.
func take(t *testing.T, set *mapping.Set, source, name string) []nagare.Event {
	t.Helper()
	var got memory
	in := producers.NewIntake(producers.Config{
		Head:   func() producers.Head { return set.Head(mapping.Options{}) },
		Events: &got,
		Adapters: map[string]producers.Adapter{
			"datadog": datadog.Adapter(), "mail": mail.Adapter(), "github": github.Adapter(),
			"directory": upload.Adapter(), "devices": upload.Adapter(), "csv": upload.Adapter(), "vpcflow": flowlog.Adapter(flowlog.Config{}),
		},
	})
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := producers.Delivery{Source: source, Name: filepath.Base(name), Auth: nagare.AuthPass, Received: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := in.AcceptFile(context.Background(), d, r, nil); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	slices.SortStableFunc(got.events, func(a, b nagare.Event) int { return strings.Compare(a.ID, b.ID) })
	return got.events
}

// memory keeps events.
type memory struct {
	mu     sync.Mutex
	events []nagare.Event
}

func (m *memory) Put(_ context.Context, events []nagare.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		e.Body = bytes.Clone(e.Body)
		m.events = append(m.events, e)
	}
	return nil
}

// loadMappings loads the mapping files that are built in.
func loadMappings(t *testing.T) *mapping.Set {
	t.Helper()
	schema, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(mappings.FS, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var files []mapping.File
	for _, n := range names {
		data, err := fs.ReadFile(mappings.FS, n)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, mapping.File{Name: n, Data: data})
	}
	layouts := ocsf.NewLayouts(schema)
	set, problems := mapping.Load(layouts, files)
	for _, p := range problems {
		t.Error(p)
	}
	layouts.Freeze()
	return set
}

// TestDetect sends the inputs of the cases without saying what they are.
func TestDetect(t *testing.T) {
	set := loadMappings(t)
	head := set.Head(mapping.Options{})
	for name, source := range map[string]string{
		"okta/sign_on.json": "okta", "entra/graph.json": "entra", "entra/signins.jsonl": "entra", "entra/audits.jsonl": "entra", "entra/directory_audits.json": "entra", "entra/log_analytics.jsonl": "entra",
		"entra/risks.jsonl": "entra", "entra/graph_calls.jsonl": "entra", "entra/provisioning.json": "entra", "m365/files.jsonl": "m365", "m365/rows.jsonl": "m365", "m365/query.json": "m365", "m365/lower_case.jsonl": "m365",
		"azure/requests.jsonl": "azure", "azure/records.json": "azure", "azure/list.json": "azure", "azure/event_grid.jsonl": "azure", "azure/library.jsonl": "azure", "azure/data.jsonl": "azure",
		"cloudtrail/sign_ins.json": "cloudtrail", "cloudtrail/more.jsonl": "cloudtrail", "defender/odd.json": "defender",
		"defender/tables.jsonl": "defender", "defender/PT1H.jsonl": "defender", "defender/rows.json": "defender", "defender/rows.jsonl": "defender", "defender/graph.json": "defender", "defender/alerts.jsonl": "defender", "defender/mail.jsonl": "defender",
		"google/login.json": "google", "google/flat.jsonl": "google", "google/alerts.json": "google", "github/audit.jsonl": "github", "github/syslog.jsonl": "github", "github/alerts.jsonl": "github",
		"github/webhooks.jsonl": "github", "slack/entries.json": "slack", "onepassword/signins.json": "onepassword", "onepassword/usages.json": "onepassword", "onepassword/audit.json": "onepassword",
		"mail/google.json": "mail", "mail/ses.jsonl": "mail", "mail/unread.jsonl": "mail", "mail/accounts.jsonl": "mail", "datadog/signal.json": "datadog", "datadog/monitor.json": "datadog", "datadog/default_payload.json": "datadog",
		"vpcflow/rows.jsonl": "vpcflow", "waf/requests.jsonl": "waf", "route53/queries.jsonl": "route53", "guardduty/findings.jsonl": "guardduty", "securityhub/findings.jsonl": "securityhub", "gcp/audit.jsonl": "gcp", "gcp/wrapped.jsonl": "gcp",
		"directory/graph.jsonl": "directory", "directory/google.jsonl": "directory", "directory/okta.jsonl": "directory", "directory/reports.json": "directory", "directory/downloads.jsonl": "directory", "directory/roster.jsonl": "directory",
		"datadog/incident.jsonl": "datadog", "datadog/archive.jsonl": "datadog", "datadog/audit.jsonl": "datadog", "datadog/api_signals.json": "datadog",
		"devices/microsoft.jsonl": "devices", "devices/jamf.jsonl": "devices", "devices/google.jsonl": "devices", "devices/okta.jsonl": "devices", "devices/lists.jsonl": "devices",
	} {
		body, err := fs.ReadFile(mappings.FS, "testdata/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".jsonl") {
			body, _, _ = bytes.Cut(body, []byte{'\n'})
		}
		if got, ok := head.Detect(body); got != source || !ok {
			t.Errorf("%s is of %q (%t), want %q", name, got, ok, source)
		}
	}
}
