package alert

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// SlackConfig says how to reach a channel: with the token of a bot and a
// channel, or with an incoming webhook. With a token each alert is posted once
// and edited in place; a webhook cannot be searched, so what a crash
// interrupted is posted again, marked as a possible repeat.
type SlackConfig struct {
	// Token is a bot's, with the scopes chat:write and channels:history (or
	// groups:history); channels:read too where Channel is a name.
	Token   Secret
	Channel string
	Webhook Secret
	// API is the base of Slack's API. The default is https://slack.com/api/.
	API string
	// Pace is the shortest time between two messages. The default is one
	// second, which is what Slack allows.
	Pace time.Duration

	// transport makes the requests; tests set it.
	transport http.RoundTripper
}

// metadataType marks our messages, so that they can be found again.
const metadataType = "nagare_alert"

// NewSlack returns the receiver that c describes.
func NewSlack(c SlackConfig) (Receiver, error) {
	if c.Pace <= 0 {
		c.Pace = time.Second
	}
	if c.API == "" {
		c.API = "https://slack.com/api/"
	}
	client := newHTTPClient(c.transport)
	switch {
	case c.Webhook != "" && c.Token != "":
		return nil, errors.New("slack: token and webhook are both set: choose one")
	case c.Webhook != "":
		return &slackHook{url: string(c.Webhook), client: client, pace: c.Pace}, nil
	case c.Token == "":
		return nil, errors.New("slack: neither token nor webhook is set")
	case c.Channel == "":
		return nil, errors.New("slack: token is set but no channel")
	}
	api := slack.New(string(c.Token), slack.OptionAPIURL(strings.TrimSuffix(c.API, "/")+"/"), slack.OptionHTTPClient(client))
	return &slackBot{api: api, channel: c.Channel, pace: c.Pace}, nil
}

// A slackBot posts to one channel.
type slackBot struct {
	api     *slack.Client
	channel string // as configured: a name or an id
	id      string // the channel's id, once known
	pace    time.Duration
}

// Pace implements Receiver.
func (b *slackBot) Pace() time.Duration { return b.pace }

// Post implements Receiver.
func (b *slackBot) Post(ctx context.Context, m Message) (Receipt, error) {
	options := b.content(m)
	channel := b.channel
	if m.Thread != "" {
		channel = m.Channel
		options = append(options, slack.MsgOptionTS(m.Thread))
	}
	id, ts, err := b.api.PostMessageContext(ctx, channel, options...)
	var answer slack.SlackErrorResponse
	if m.Thread != "" && errors.As(err, &answer) && gone[answer.Err] { // somebody removed it: then outside of it
		id, ts, err = b.api.PostMessageContext(ctx, b.channel, b.content(m)...)
	}
	if err != nil {
		return Receipt{}, slackError(err)
	}
	if id == "" || ts == "" {
		return Receipt{}, &Answered{errors.New("slack answered without saying where the message is")}
	}
	b.id = id
	return Receipt{Channel: id, TS: ts}, nil
}

// gone are the errors of posting into a thread that is not there.
var gone = map[string]bool{"thread_not_found": true, "message_not_found": true, "cannot_reply_to_message": true}

// content is the message: everything event-derived sits in plain text blocks,
// and the text for notifications has mark-up, mentions and links off.
func (b *slackBot) content(m Message) []slack.MsgOption {
	return []slack.MsgOption{
		slack.MsgOptionText(slackText(m), false), // escaped already
		slack.MsgOptionBlocks(slackBlocks(m)...),
		slack.MsgOptionDisableMarkdown(),
		slack.MsgOptionParse(false),
		slack.MsgOptionLinkNames(false),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{"alert_id": m.ID, "origin": m.Origin}}),
	}
}

// Edit implements Receiver.
func (b *slackBot) Edit(ctx context.Context, r Receipt, m Message) error {
	_, _, _, err := b.api.UpdateMessageContext(ctx, r.Channel, r.TS, b.content(m)...)
	return slackError(err)
}

// Find implements Receiver: it reads the channel, or the thread the message
// went into, from since on.
func (b *slackBot) Find(ctx context.Context, m Message, since time.Time) (Receipt, bool, error) {
	const page, maxPages = 200, 100
	channel := m.Channel
	if channel == "" {
		var err error
		if channel, err = b.resolve(ctx); err != nil {
			return Receipt{}, false, err
		}
	}
	// Slack's clock is not ours.
	oldest := strconv.FormatInt(since.Add(-5*time.Minute).Unix(), 10)
	cursor := ""
	for range maxPages {
		var messages []slack.Message
		var more bool
		var err error
		if m.Thread != "" {
			messages, more, cursor, err = b.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
				ChannelID: channel, Timestamp: m.Thread, Oldest: oldest, Cursor: cursor, Limit: page, IncludeAllMetadata: true})
		} else {
			var h *slack.GetConversationHistoryResponse
			h, err = b.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
				ChannelID: channel, Oldest: oldest, Inclusive: true, Cursor: cursor, Limit: page, IncludeAllMetadata: true})
			if err == nil {
				messages, more, cursor = h.Messages, h.HasMore, h.ResponseMetaData.NextCursor
			}
		}
		if err != nil {
			err = slackError(err)
			var permanent *Permanent
			if errors.As(err, &permanent) { // no right to read, most likely
				err = fmt.Errorf("%w: %w", ErrNoHistory, err)
			}
			return Receipt{}, false, err
		}
		for _, msg := range messages {
			p := msg.Metadata.EventPayload
			if msg.Metadata.EventType == metadataType && p["alert_id"] == m.ID && p["origin"] == m.Origin {
				return Receipt{Channel: channel, TS: msg.Timestamp}, true, nil
			}
		}
		if !more || cursor == "" {
			return Receipt{}, false, nil
		}
	}
	return Receipt{}, false, fmt.Errorf("%w: more than %d messages since %s", ErrNoHistory, page*maxPages, since.Format(time.RFC3339))
}

// resolve is the channel's id. Posting takes a name, reading does not; where
// Slack does not let us look the name up it is tried as it is. When it just
// did not answer, nothing is known about the messages either: that is an error,
// and no reason to post again.
func (b *slackBot) resolve(ctx context.Context) (string, error) {
	const maxPages = 20
	name, isName := strings.CutPrefix(b.channel, "#")
	if b.id != "" || !isName {
		return or(b.id, b.channel), nil
	}
	params := &slack.GetConversationsParameters{ExcludeArchived: true, Limit: 999, Types: []string{"public_channel", "private_channel"}}
	for range maxPages {
		channels, next, err := b.api.GetConversationsContext(ctx, params)
		if err != nil {
			err = slackError(err)
			var permanent *Permanent
			if errors.As(err, &permanent) { // no right to list
				break
			}
			return "", err
		}
		for _, c := range channels {
			if c.Name == name {
				b.id = c.ID
				return b.id, nil
			}
		}
		if next == "" {
			break
		}
		params.Cursor = next
	}
	return b.channel, nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// A slackHook posts to an incoming webhook.
type slackHook struct {
	url    string
	client *http.Client
	pace   time.Duration
}

// Pace implements Receiver.
func (h *slackHook) Pace() time.Duration { return h.pace }

// Post implements Receiver.
func (h *slackHook) Post(ctx context.Context, m Message) (Receipt, error) {
	off := false
	err := slack.PostWebhookCustomHTTPContext(ctx, h.url, h.client, &slack.WebhookMessage{
		Text: slackText(m), Blocks: &slack.Blocks{BlockSet: slackBlocks(m)}, Parse: "none", UnfurlLinks: &off, UnfurlMedia: &off})
	return Receipt{}, slackError(err)
}

// Find implements Receiver.
func (h *slackHook) Find(context.Context, Message, time.Time) (Receipt, bool, error) {
	return Receipt{}, false, ErrNoHistory
}

// Edit implements Receiver; it is never asked to, for want of a receipt.
func (h *slackHook) Edit(context.Context, Receipt, Message) error { return nil }
