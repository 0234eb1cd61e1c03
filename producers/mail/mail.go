// Package mail reads mails (RFC 5322 with MIME) into JSON objects, for mail is
// how some vendors report security events, and some nothing else.
//
// Everything in a mail is written by whoever sent it, Authentication-Results
// included: that header is kept among the others and believed by nobody. What
// authenticated the mail, the adapter of the way it came in must say.
//
// The package receives no mail, and it does not open attachments.
package mail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"path"
	"strings"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"nagare/producers"
)

// moreThanOneFrom is a problem that matters to trust.
const moreThanOneFrom = "more than one From"

// Limits of a mail; the size is intake's. Beyond them only its header is read.
const (
	maxDepth = 100 // mentions of a boundary
	maxParts = 2000
	// What the object keeps.
	keepText        = 64 << 10
	keepHeader      = 8 << 10
	keepAddresses   = 200
	keepAttachments = 200
	keepProblems    = 20
)

// Adapter is the line of mails in the table of adapters. It reads mails, and
// what Amazon SES says of those that it received. It leaves other JSON to
// intake: mails that were read before.
func Adapter() producers.Adapter {
	return producers.Adapter{
		Wants: func(in producers.Input) bool {
			text := bytes.TrimLeft(in.Body, " \t\r\n")
			return len(text) > 0 && (text[0] != '{' && text[0] != '[' || isSES(text))
		},
		Read: func(_ context.Context, in producers.Input, emit func(producers.Item) error) error {
			if path.Base(in.Name) == setupObject {
				return nil
			}
			if text := bytes.TrimLeft(in.Body, " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
				return readJSON(text, emit)
			}
			m := Read(in.Body)
			if len(m.Headers) == 0 {
				return &producers.Refusal{Reason: producers.ReasonBadMail, Err: errors.New("no header")}
			}
			body, err := m.json()
			if err != nil {
				return &producers.Refusal{Reason: producers.ReasonBadMail, Err: err}
			}
			// The raw bytes name the mail: a Message-ID is missing from a third
			// of odd mails, and a sender may write the same one twice.
			return emit(producers.Item{Body: body, UID: m.RawSHA256})
		},
	}
}

func (m *Mail) json() ([]byte, error) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	err := e.Encode(m)
	return bytes.TrimSpace(body.Bytes()), err
}

// A Mail is what we know of a mail. A field that it lacks is left out.
type Mail struct {
	MessageID   string            `json:"message_id,omitempty"`
	From        string            `json:"from,omitempty"` // the address alone
	FromName    string            `json:"from_name,omitempty"`
	FromDomain  string            `json:"from_domain,omitempty"`
	To          []string          `json:"to,omitempty"`
	CC          []string          `json:"cc,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Date        string            `json:"date,omitempty"` // RFC 3339
	Sent        string            `json:"sent,omitempty"` // Date as it was written, unless mappings would read that otherwise
	Text        string            `json:"text"`           // of the HTML if there is no other
	HTMLText    string            `json:"html_text,omitempty"`
	Headers     map[string]string `json:"headers"` // by lower-case name; repeated ones one a line
	Attachments []Attachment      `json:"attachments,omitempty"`
	// Auth is empty for a file: a mail cannot vouch for itself.
	Auth      Auth   `json:"auth"`
	Size      int    `json:"size,omitempty"`
	RawSHA256 string `json:"raw_sha256,omitempty"`
	// What subject and text name, for mappings to pick from.
	Fields []Field  `json:"fields,omitempty"`
	IPs    []string `json:"ips,omitempty"`
	Emails []string `json:"emails,omitempty"`
	CVEs   []string `json:"cves,omitempty"`
	Times  []string `json:"times,omitempty"`
	// HeadersLeftOut is how many header fields are not in Headers.
	HeadersLeftOut int `json:"headers_left_out,omitempty"`
	// SES is set for what Amazon SES received.
	SES *SES `json:"ses,omitempty"`
	// Problems say what was odd or could not be read.
	Problems []string `json:"problems,omitempty"`
}

// Auth is what the service that received the mail found: pass, fail, gray and
// the like. Only an adapter fills it.
type Auth struct {
	SPF   string `json:"spf,omitempty"`
	DKIM  string `json:"dkim,omitempty"`
	DMARC string `json:"dmarc,omitempty"`
	// AlignedDomain is the domain of From, when the sender was shown to own it.
	AlignedDomain string `json:"aligned_domain,omitempty"`
}

// An Attachment is a part of a mail that is not its text.
type Attachment struct {
	Name   string `json:"name,omitempty"`
	Type   string `json:"type,omitempty"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// Read reads a mail. However damaged it is, what can be read is in the Mail;
// without any header field the bytes were no mail.
func Read(raw []byte) Mail {
	sum := sha256.Sum256(raw)
	m := Mail{RawSHA256: hex.EncodeToString(sum[:]), Size: len(raw), Headers: map[string]string{}}
	source := start(raw)
	header, excess, left := head(source)
	m.HeadersLeftOut = left
	if excess == "" {
		excess = bounds(source)
	}
	if excess != "" {
		m.problem(excess + ": only the header was read")
		source = header
	}
	env, err := parse(source)
	if err != nil && len(source) > len(header) {
		m.problem(err.Error() + ": only the header was read")
		env, err = parse(header)
	}
	if err != nil {
		m.problem(err.Error())
		return m
	}
	m.fill(env)
	return m
}

// start skips what mail stores and transports leave above a header: empty
// lines, blanks, and the "From " line of mbox.
func start(raw []byte) []byte {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte{'\n'})
	}
	return raw
}

// bounds looks for what would make the MIME parser work hard: it recurses by
// depth, and each level reads all bytes below it once more.
func bounds(raw []byte) string {
	depth, parts := 0, 0
	for rest := raw; ; {
		i := bytes.IndexByte(rest, '=')
		if i < 0 {
			break
		}
		if i >= 8 && bytes.EqualFold(rest[i-8:i], []byte("boundary")) {
			depth++
		}
		rest = rest[i+1:]
	}
	if depth > maxDepth {
		return "too many levels"
	}
	for rest := raw; ; parts++ {
		i := bytes.Index(rest, []byte("\n--"))
		if i < 0 {
			break
		}
		rest = rest[i+3:]
	}
	if parts > maxParts {
		return "too many parts"
	}
	return ""
}

// parse never panics, whatever the parser does.
func parse(raw []byte) (env *enmime.Envelope, err error) {
	defer func() {
		if p := recover(); p != nil {
			env, err = nil, fmt.Errorf("the mail parser failed: %v", p)
		}
	}()
	return enmime.NewParser(
		enmime.SkipMalformedParts(true),
		enmime.MultipartWOBoundaryAsSinglePart(true),
		enmime.SetReadPartErrorPolicy(enmime.AllowCorruptTextPartErrorPolicy),
		enmime.StripMediaTypeInvalidCharacters(true),
		enmime.MaxStoredPartErrors(keepProblems),
		enmime.DisableTextConversion(true), // ours is bounded
	).ReadEnvelope(bytes.NewReader(raw))
}

func (m *Mail) problem(s string) {
	if len(m.Problems) < keepProblems {
		m.Problems = append(m.Problems, clip(s, 300))
	}
}

// keep shortens what the mail has to what is kept of it, and says so.
func (m *Mail) keep(what, s string, n int) string {
	if len(s) <= n {
		return s
	}
	m.problem(fmt.Sprintf("the %s was cut at %d bytes", what, n))
	return clip(s, n)
}

func (m *Mail) fill(env *enmime.Envelope) {
	for _, key := range env.GetHeaderKeys() {
		var values []string
		for _, v := range env.GetHeaderValues(key) {
			values = append(values, line(v))
		}
		key = strings.ToLower(line(key))
		m.Headers[key] = m.keep("header "+clip(key, 100), strings.Join(values, "\n"), keepHeader)
	}
	m.Subject = m.Headers["subject"]
	m.MessageID = strings.Trim(m.Headers["message-id"], "<> \t")
	if from := addresses(env, "From"); len(from) > 0 {
		m.From, m.FromName = strings.ToLower(from[0].Address), line(from[0].Name)
		if len(from) > 1 {
			m.problem(moreThanOneFrom)
		}
		if at := strings.LastIndexByte(m.From, '@'); at >= 0 {
			m.FromDomain = m.From[at+1:]
		}
	} else if m.Headers["from"] != "" {
		m.problem("no address in From")
	}
	if len(env.GetHeaderValues("From")) > 1 {
		m.problem(moreThanOneFrom)
	}
	m.To, m.CC = list(env, "To"), list(env, "Cc")
	if t, ok := date(m.Headers["date"]); ok {
		m.Date = t.Format(time.RFC3339)
		m.Sent = asWritten(m.Headers["date"], t)
	} else if m.Headers["date"] != "" {
		m.problem("no date in Date")
		m.Sent = m.Headers["date"]
	}
	m.Text = m.keep("text", text(env.Text), keepText)
	if env.HTML != "" {
		m.HTMLText = m.keep("HTML text", htmlText(text(env.HTML), keepText), keepText)
	}
	if strings.TrimSpace(m.Text) == "" {
		m.Text = m.HTMLText
	}
	m.extract()
	for _, parts := range [][]*enmime.Part{env.Attachments, env.Inlines, env.OtherParts} {
		for _, p := range parts {
			if len(m.Attachments) == keepAttachments {
				m.problem("more attachments than are listed")
				break
			}
			sum := sha256.Sum256(p.Content)
			m.Attachments = append(m.Attachments, Attachment{
				Name: clip(line(p.FileName), 300), Type: clip(line(p.ContentType), 100), Size: len(p.Content), SHA256: hex.EncodeToString(sum[:]),
			})
		}
	}
	for _, e := range env.Errors {
		if e.Name != enmime.ErrorPlainTextFromHTML { // that is how mails are
			m.problem(e.Name + ": " + line(e.Detail))
		}
	}
}

func addresses(env *enmime.Envelope, key string) []*mail.Address {
	out, err := env.AddressList(key)
	if err != nil {
		// The parser is strict; the address stands between the last brackets.
		v := line(env.GetHeader(key))
		if i, j := strings.LastIndexByte(v, '<'), strings.LastIndexByte(v, '>'); i >= 0 && i < j && strings.Contains(v[i:j], "@") {
			return []*mail.Address{{Name: strings.Trim(v[:i], ` "`), Address: strings.TrimSpace(v[i+1 : j])}}
		}
		if v = strings.TrimSpace(v); strings.Count(v, "@") == 1 && !strings.ContainsAny(v, " \t,;") {
			return []*mail.Address{{Address: v}}
		}
	}
	return out
}

func list(env *enmime.Envelope, key string) (out []string) {
	for _, a := range addresses(env, key) {
		if len(out) == keepAddresses {
			break
		}
		out = append(out, clip(strings.ToLower(text(a.Address)), 320))
	}
	return out
}

// line is text on one line: no header of ours has two.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text(s))
}

// text is s as UTF-8: mailers send headers raw, in whatever they are set to.
func text(s string) string {
	b, err := producers.DecodeText([]byte(s))
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// clip shortens s to at most n bytes, at a whole letter.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
