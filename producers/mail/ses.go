package mail

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"nagare/producers"
)

// What Amazon SES says of a mail that it received: a notification of SNS, which
// wraps it in a text, and perhaps SQS around that. With an SNS action the mail
// is inside, with an S3 action it is in a bucket.
// https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html

// setupObject is the object that SES puts into a bucket to see whether it may.
// It is no mail.
const setupObject = "AMAZON_SES_SETUP_NOTIFICATION"

// maxLayers bounds the wrappings: three are usual.
const maxLayers = 8

// maxDead lines in a row that are no JSON end a file.
const maxDead = 1000

// SES is what Amazon's mail service adds to a mail.
type SES struct {
	MessageID  string   `json:"message_id"`
	Timestamp  string   `json:"timestamp,omitempty"`
	Source     string   `json:"source,omitempty"` // of the envelope
	Recipients []string `json:"recipients,omitempty"`
	Spam       string   `json:"spam,omitempty"`
	Virus      string   `json:"virus,omitempty"`
	Policy     string   `json:"dmarc_policy,omitempty"`
	// Bucket and Key say where the mail is, if it is not in the notification.
	Bucket string `json:"bucket,omitempty"`
	Key    string `json:"key,omitempty"`
	// Truncated says that headers are missing.
	Truncated bool `json:"headers_truncated,omitempty"`
}

type notification struct {
	NotificationType string `json:"notificationType"`
	Receipt          struct {
		Timestamp    string   `json:"timestamp"`
		Recipients   []string `json:"recipients"`
		SpamVerdict  verdict  `json:"spamVerdict"`
		VirusVerdict verdict  `json:"virusVerdict"`
		SPFVerdict   verdict  `json:"spfVerdict"`
		DKIMVerdict  verdict  `json:"dkimVerdict"`
		DMARCVerdict verdict  `json:"dmarcVerdict"`
		DMARCPolicy  string   `json:"dmarcPolicy"`
		Action       struct {
			Type, BucketName, ObjectKey, Encoding string
		} `json:"action"`
	} `json:"receipt"`
	Mail *struct {
		Timestamp        string   `json:"timestamp"`
		Source           string   `json:"source"`
		MessageID        string   `json:"messageId"`
		Destination      []string `json:"destination"`
		HeadersTruncated bool     `json:"headersTruncated"`
		Headers          []struct{ Name, Value string }
		CommonHeaders    struct {
			From      []string `json:"from"`
			To        []string `json:"to"`
			CC        []string `json:"cc"`
			Date      string   `json:"date"`
			MessageID string   `json:"messageId"`
			Subject   string   `json:"subject"`
		} `json:"commonHeaders"`
	} `json:"mail"`
	Content string `json:"content"`
}

type verdict struct {
	Status string `json:"status"`
}

func (v verdict) String() string { return strings.ToLower(clip(v.Status, 40)) }

// isSES says whether JSON looks like something of SES, SNS or SQS.
func isSES(body []byte) bool {
	for _, mark := range []string{"notificationType", `"SubscribeURL"`, `"spfVerdict"`, "s3:TestEvent"} {
		if bytes.Contains(body, []byte(mark)) {
			return true
		}
	}
	return false
}

// readJSON reads notifications: one value after another, or lines of which a
// damaged one costs only itself.
func readJSON(body []byte, emit func(producers.Item) error) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var raw json.RawMessage
		at := dec.InputOffset()
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			body = body[at:]
			break
		}
		if err := unwrap(raw, 0, emit); err != nil {
			return err
		}
	}
	dead := 0
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if json.Valid(line) {
			dead = 0
			if err := unwrap(line, 0, emit); err != nil {
				return err
			}
			continue
		}
		if dead++; dead > maxDead {
			return &producers.Refusal{Reason: producers.ReasonNotJSON, Err: fmt.Errorf("%d lines in a row are no JSON", maxDead)}
		}
		if err := emit(producers.Item{Body: line, Reason: producers.ReasonNotJSON, Error: "a line that is no JSON"}); err != nil {
			return err
		}
	}
	return nil
}

// unwrap takes SQS's and SNS's wrappings off. What is none of this is emitted
// as it is: mails that were read before, and confirmations.
func unwrap(raw json.RawMessage, layer int, emit func(producers.Item) error) error {
	raw = bytes.TrimSpace(raw)
	plain := producers.Item{Body: raw}
	if len(raw) == 0 || layer > maxLayers {
		return emit(plain)
	}
	if raw[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return emit(plain)
		}
		for _, e := range list {
			if err := unwrap(e, layer+1, emit); err != nil {
				return err
			}
		}
		return nil
	}
	if raw[0] != '{' {
		return emit(producers.Item{Body: raw, Reason: producers.ReasonNotObject, Error: "the notification is JSON, and no object"})
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		return emit(plain)
	}
	for _, key := range []string{"Messages", "Records"} {
		if list, ok := o[key]; ok && len(list) > 0 && list[0] == '[' {
			return unwrap(list, layer+1, emit)
		}
	}
	for _, key := range []string{"Message", "body", "Body"} {
		var text string
		if inner, ok := o[key]; ok && json.Unmarshal(inner, &text) == nil {
			if t := strings.TrimSpace(text); strings.HasPrefix(t, "{") && json.Valid([]byte(t)) {
				return unwrap(json.RawMessage(t), layer+1, emit)
			}
		}
	}
	for _, key := range []string{"Sns", "ses"} {
		if inner, ok := o[key]; ok && len(inner) > 0 && inner[0] == '{' && o["headers"] == nil {
			return unwrap(inner, layer+1, emit)
		}
	}
	var n notification
	if o["receipt"] == nil || json.Unmarshal(raw, &n) != nil || n.Mail == nil {
		return emit(plain)
	}
	m, ok := n.read()
	if !ok {
		return nil
	}
	body, err := m.json()
	if err != nil {
		return emit(plain)
	}
	return emit(producers.Item{Body: body, UID: m.RawSHA256})
}

// read makes a Mail of a notification; false if it speaks of no mail.
func (n *notification) read() (Mail, bool) {
	if path.Base(n.Receipt.Action.ObjectKey) == setupObject {
		return Mail{}, false
	}
	raw := []byte(n.Content)
	if strings.EqualFold(n.Receipt.Action.Encoding, "base64") {
		if b, err := base64.StdEncoding.DecodeString(n.Content); err == nil {
			raw = b
		}
	}
	var m Mail
	if len(raw) > 0 {
		m = Read(raw)
	} else {
		m = Read(n.header())
		m.RawSHA256, m.Size = "", 0 // the mail is elsewhere
	}
	ses := n.Mail
	m.SES = &SES{
		MessageID: clip(line(ses.MessageID), 300), Timestamp: clip(line(n.Receipt.Timestamp), 100), Source: clip(line(ses.Source), 320),
		Spam: n.Receipt.SpamVerdict.String(), Virus: n.Receipt.VirusVerdict.String(), Policy: clip(line(n.Receipt.DMARCPolicy), 40),
		Bucket: clip(line(n.Receipt.Action.BucketName), 300), Key: clip(line(n.Receipt.Action.ObjectKey), 2000), Truncated: ses.HeadersTruncated,
	}
	for _, r := range n.Receipt.Recipients {
		if len(m.SES.Recipients) < keepAddresses {
			m.SES.Recipients = append(m.SES.Recipients, clip(strings.ToLower(line(r)), 320))
		}
	}
	m.Auth = Auth{SPF: n.Receipt.SPFVerdict.String(), DKIM: n.Receipt.DKIMVerdict.String(), DMARC: n.Receipt.DMARCVerdict.String()}
	if m.FromDomain != "" && !m.ambiguous() && (m.Auth.DMARC == "pass" || m.Auth.DKIM == "pass" && m.Auth.DMARC != "fail" && aligned(m.Headers["dkim-signature"], m.FromDomain)) {
		m.Auth.AlignedDomain = m.FromDomain
	}
	return m, true
}

// header is the header of a mail that is not here.
func (n *notification) header() []byte {
	var b bytes.Buffer
	have := map[string]bool{}
	add := func(name, value string) {
		name = strings.TrimSpace(line(name))
		// MIME's fields describe a body, and there is none.
		if name == "" || strings.ContainsAny(name, ": ") || strings.HasPrefix(strings.ToLower(name), "content-") {
			return
		}
		have[strings.ToLower(name)] = true
		b.WriteString(name + ": " + line(value) + "\r\n")
	}
	for _, h := range n.Mail.Headers {
		add(h.Name, h.Value)
	}
	common := n.Mail.CommonHeaders
	for name, value := range map[string]string{
		"From": strings.Join(common.From, ", "), "To": strings.Join(common.To, ", "), "Cc": strings.Join(common.CC, ", "),
		"Date": common.Date, "Message-ID": common.MessageID, "Subject": common.Subject,
	} {
		if value != "" && !have[strings.ToLower(name)] {
			add(name, value)
		}
	}
	return append(b.Bytes(), "\r\n"...)
}

// ambiguous says that a mail has more than one sender: which of them a verdict
// is about, nobody knows.
func (m *Mail) ambiguous() bool {
	for _, p := range m.Problems {
		if p == moreThanOneFrom {
			return true
		}
	}
	return false
}

// aligned says whether every DKIM signature is of the sender's domain or one
// above it: SES does not say which of several it has verified.
func aligned(signatures, domain string) bool {
	signed := false
	for signature := range strings.SplitSeq(signatures, "\n") {
		for tag := range strings.SplitSeq(signature, ";") {
			if d, ok := strings.CutPrefix(strings.TrimSpace(tag), "d="); ok {
				d = strings.ToLower(strings.TrimSpace(d))
				if !strings.Contains(d, ".") || domain != d && !strings.HasSuffix(domain, "."+d) {
					return false
				}
				signed = true
			}
		}
	}
	return signed
}
