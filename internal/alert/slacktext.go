package alert

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// The limits of Slack's blocks, with room for entities.
const (
	maxHeader  = 150
	maxSection = 3000
)

var (
	entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	// broadcast are the names that reach everybody.
	broadcast = regexp.MustCompile(`(?i)@(channel|here|everyone)\b`)
)

// slackEscape makes cleaned text harmless to Slack: its three control
// characters become entities, so that no mention, link or broadcast can be
// written, and a name that reaches everybody is broken.
func slackEscape(s string, maxChars int) string {
	s = broadcast.ReplaceAllString(s, "@\u2060$1")
	var b strings.Builder
	n := 0
	for _, c := range s {
		e := entities.Replace(string(c))
		if n += utf8.RuneCountInString(e); n >= maxChars { // never half an entity
			b.WriteRune('…')
			break
		}
		b.WriteString(e)
	}
	return b.String()
}

// slackText is what a notification shows.
func slackText(m Message) string {
	text := m.headline()
	if remark := m.remark(); remark != "" {
		text += " (" + remark + ")"
	}
	if body := m.body(); body != "" {
		text += "\n" + body
	}
	return slackEscape(text, maxSection)
}

// slackBlocks is what the channel shows: plain text, in which nothing is
// mark-up.
func slackBlocks(m Message) []slack.Block {
	plain := func(s string, maxChars int) *slack.TextBlockObject {
		return slack.NewTextBlockObject(slack.PlainTextType, slackEscape(s, maxChars), false, false)
	}
	blocks := []slack.Block{slack.NewHeaderBlock(plain(m.headline(), maxHeader))}
	if remark := m.remark(); remark != "" {
		blocks = append(blocks, slack.NewContextBlock("", plain(remark, maxSection)))
	}
	if body := m.body(); body != "" {
		blocks = append(blocks, slack.NewSectionBlock(plain(body, maxSection), nil, nil))
	}
	var facts []slack.MixedElement
	for _, line := range m.facts() {
		facts = append(facts, plain(line, maxSection))
	}
	return append(blocks, slack.NewContextBlock("", facts...))
}
