// Package github reads what GitHub sends when it is not JSON: the audit log of
// GitHub Enterprise Server as lines of syslog, and webhooks that are set to
// application/x-www-form-urlencoded, which is the default of GitHub's own form.
//
// https://docs.github.com/en/enterprise-server@latest/admin/monitoring-activity-in-your-enterprise/exploring-user-activity-in-your-enterprise/log-forwarding
// https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks
//
// What a webhook is about stands in its header X-GitHub-Event and not in its
// body, so that becomes a member of it, "x_github_event": bodies of a star that
// was taken back and of a repository that was deleted look alike.
//
// It checks no signatures (producers/webhook does) and knows no fields (the
// mapping does).
package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"nagare/ocsf/rawjson"
	"nagare/producers"
)

const (
	// maxPrefix bounds what stands before the JSON of a line: time, host,
	// program, structured data.
	maxPrefix = 2048
	// maxTries bounds how many braces are tried as the start of the JSON.
	maxTries = 4
)

// Adapter is GitHub's line in the table of adapters.
func Adapter() producers.Adapter { return producers.Adapter{Wants: wants, Read: read, Mark: mark} }

// mark puts the name of a webhook's event in front of its members.
func mark(event string, object []byte) []byte { return with("x_github_event", event, object) }

// wants takes everything that does not start like JSON.
func wants(in producers.Input) bool {
	text := bytes.TrimLeft(in.Body, " \t\r\n\ufeff")
	return len(text) > 0 && text[0] != '{' && text[0] != '['
}

func read(_ context.Context, in producers.Input, emit func(producers.Item) error) error {
	body := bytes.TrimSpace(bytes.TrimLeft(in.Body, "\ufeff"))
	if payload, ok := form(body); ok {
		return emit(payload)
	}
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		if line = bytes.Trim(line, " \t\r\x00"); len(line) == 0 {
			continue
		}
		if err := emit(readLine(line)); err != nil {
			return err
		}
	}
	return nil
}

// readLine makes one object of a line. What stands before the JSON becomes a
// member of it, "syslog".
func readLine(line []byte) producers.Item {
	start := 0
	for range maxTries {
		i := bytes.IndexByte(line[start:min(len(line), maxPrefix)], '{')
		if i < 0 {
			break
		}
		start += i
		if object := line[start:]; isObject(object) {
			return producers.Item{Body: with("syslog", string(bytes.TrimRight(line[:start], " :\t")), object)}
		}
		start++
	}
	return producers.Item{Body: line, Reason: producers.ReasonNotJSON, Error: "no JSON object at the end of the line"}
}

func isObject(text []byte) bool { return text[len(text)-1] == '}' && json.Valid(text) }

// with puts a member in front of the others. A member of that name in the
// object counts, because it comes later.
func with(name, value string, object []byte) []byte {
	rest := bytes.TrimLeft(object, " \t\r\n")
	if value == "" || len(rest) < 2 || rest[0] != '{' {
		return object
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	out := make([]byte, 0, len(name)+len(value)+8+len(rest))
	out = append(rawjson.AppendText(append(out, '{'), name), ':')
	out = rawjson.AppendText(out, value)
	if rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, rest...)
}

// form reads payload={…}, with whatever else stands beside it.
func form(body []byte) (producers.Item, bool) {
	if !bytes.HasPrefix(body, []byte("payload=")) {
		return producers.Item{}, false
	}
	value, _, _ := bytes.Cut(body[len("payload="):], []byte{'&'})
	text, err := url.QueryUnescape(string(value))
	if err == nil && (!json.Valid([]byte(text)) || text[0] != '{') {
		err = errors.New("the payload is no JSON object")
	}
	if err != nil {
		return producers.Item{Body: body, Reason: producers.ReasonBadForm, Error: err.Error()}, true
	}
	return producers.Item{Body: []byte(text)}, true
}
