package mail

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Limits of what is picked out of a text.
const (
	keepFields  = 100
	keepFound   = 50
	maxLines    = 5000
	labelRunes  = 40
	valueBytes  = 1000
	labelBlanks = 6
)

// A Field is a line of a mail's text as "IP address: 203.0.113.9" or
// "ご利用日時：2026年7月3日". The label is in lower case, with letters of usual
// width; the value is as it was.
type Field struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// extract fills what the subject and the text name: which of it means what, the
// mapping knows.
func (m *Mail) extract() {
	m.Fields = fields(m.Text)
	if len(m.Fields) == 0 && m.HTMLText != m.Text {
		m.Fields = fields(m.HTMLText)
	}
	text := m.Subject + "\n" + m.Text
	m.IPs = addressesIn(text)
	m.Emails = found(text, mailAddress, strings.ToLower)
	m.CVEs = found(text, cve, strings.ToUpper)
	m.Times = found(text, written, func(s string) string { return strings.Join(strings.Fields(s), " ") })
}

var (
	mailAddress = regexp.MustCompile(`[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}`)
	cve         = regexp.MustCompile(`(?i)\bCVE-\d{4}-\d{4,7}\b`)
	// written are times of day with their dates, as sentences have them.
	written = regexp.MustCompile(`(?:(?:令和|平成)(?:元|\d{1,2})|\d{4})年 ?\d{1,2}月 ?\d{1,2}日[ 　]*(?:[（(]?[月火水木金土日](?:曜日?)?[)）]?)?[ 　]*(?:午前|午後)?[ 　]*\d{1,2}[時:：]\d{0,2}分?(?::?\d{2}秒?)?(?: ?[（(]?(?:JST|UTC|GMT|日本時間|日本標準時)[)）]?)?` +
		`|\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2}| ?[（(]?(?:JST|UTC|GMT)(?:[+-]\d{1,2}(?::\d{2})?)?[)）]?)?` +
		`|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2},? \d{4}|\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{4}),?(?: at)? \d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?(?: ?\(?(?:[A-Z]{3,4}|[+-]\d{4}|Japan Standard Time|Coordinated Universal Time)\)?)?`)
	numbers = regexp.MustCompile(`[0-9A-Fa-f:.]{4,45}`)
)

// found lists what re matches, each once.
func found(text string, re *regexp.Regexp, fold func(string) string) (out []string) {
	for _, s := range re.FindAllString(text, 10*keepFound) {
		if s = fold(strings.Trim(s, ".-")); !slices.Contains(out, s) && len(out) < keepFound {
			out = append(out, s)
		}
	}
	return out
}

// addressesIn lists the IP addresses of a text, each once. Versions look like
// some: Chrome/120.0.0.0.
func addressesIn(text string) (out []string) {
	for _, at := range numbers.FindAllStringIndex(text, 100*keepFound) {
		s := strings.Trim(text[at[0]:at[1]], ".")
		before, _ := utf8.DecodeLastRuneInString(text[:at[0]])
		if before == '/' || before == '_' || before == '-' || unicode.IsLetter(before) && before < 0x80 {
			continue
		}
		if strings.Count(s, ".") == 3 && !strings.HasSuffix(s, ".0.0.0") || strings.Count(s, ":") >= 2 && strings.ContainsAny(s, "0123456789") {
			s = strings.TrimSuffix(strings.TrimPrefix(s, ":"), ":")
			if ip, err := netip.ParseAddr(s); err == nil && !ip.IsUnspecified() && len(s) > 4 && !slices.Contains(out, s) && len(out) < keepFound {
				out = append(out, s)
			}
		}
	}
	return out
}

// fields finds the lines that name something. A label may have its line to
// itself, with the value on the next one.
func fields(text string) (out []Field) {
	pending := ""
	lines := 0
	for line := range strings.Lines(text) {
		if lines++; lines > maxLines || len(out) == keepFields {
			break
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		label, value := split(line)
		switch {
		case label != "" && value != "":
			out = append(out, Field{label, clip(value, valueBytes)})
			pending = ""
		case label != "":
			pending = label
		case pending != "":
			out = append(out, Field{pending, clip(strings.Trim(line, " *|"), valueBytes)})
			pending = ""
		}
	}
	return out
}

// marks are what stands in front of a line that names something.
const marks = "*•・■□◆◇●○▼▽▲△▶►◎※-–—─>|[]【】〔〕≪≫< \t\u3000"

// split takes a line apart into label and value. A label without a value is
// one whose line ends there.
func split(line string) (label, value string) {
	bare := strings.TrimLeft(line, marks)
	marked := len(bare) < len(line) && strings.ContainsRune("■□◆◇●○▼▽▲△▶►◎【〔≪[", firstRune(line))
	if strings.ContainsRune("【〔≪[", firstRune(line)) {
		if i := strings.IndexAny(bare, "】〕≫]"); i > 0 {
			_, n := utf8.DecodeRuneInString(bare[i:])
			return labelOf(bare[:i]), strings.TrimLeft(bare[i+n:], " :：\u3000*")
		}
	}
	for i, r := range bare {
		if i > labelRunes*4 {
			break
		}
		rest := bare[i+utf8.RuneLen(r):]
		switch {
		case r == ':' && (strings.HasPrefix(rest, "//") || i > 0 && isDigit(bare[i-1]) && rest != "" && isDigit(rest[0])):
			return "", "" // an address, a time
		case r == ':' || r == '：' || r == '|':
			return labelOf(bare[:i]), strings.Trim(rest, " \t\u3000*|")
		case r == '\t' || r == '\u3000' || r == ' ' && strings.HasPrefix(rest, " "):
			// Columns.
			if value := strings.Trim(rest, " \t\u3000*:："); i > 0 && value != "" {
				return labelOf(bare[:i]), value
			}
		}
	}
	if marked {
		return labelOf(bare), ""
	}
	return "", ""
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// labelOf is a label in the form that fields have; "" for what is too long to
// be one.
func labelOf(s string) string {
	s = strings.ToLower(width.Fold.String(s))
	s = strings.Join(strings.Fields(strings.Trim(s, marks)), " ")
	if s == "" || utf8.RuneCountInString(s) > labelRunes || strings.Count(s, " ") > labelBlanks || strings.Contains(s, "://") {
		return ""
	}
	if strings.IndexFunc(s, unicode.IsLetter) < 0 {
		return ""
	}
	return s
}
