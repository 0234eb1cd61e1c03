package mail

import (
	"strings"

	"golang.org/x/net/html"
)

// htmlText is the text that a reader of the HTML sees, roughly, and the
// addresses its links lead to, which he does not. It stops after n bytes. It
// works on tokens, so that no nesting, however deep, costs anything.
func htmlText(s string, n int) string {
	var out strings.Builder
	z := html.NewTokenizer(strings.NewReader(s))
	z.SetMaxBuf(1 << 20)
	hidden := "" // the element whose content is not shown
	for out.Len() < n {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return strings.TrimSpace(out.String())
		case html.TextToken:
			if hidden == "" {
				write(&out, string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			raw, hasAttr := z.TagName()
			name := string(raw)
			switch {
			case hidden != "":
				if kind == html.EndTagToken && name == hidden {
					hidden = ""
				}
				continue
			case kind == html.StartTagToken && (name == "script" || name == "style" || name == "title" || name == "template"):
				hidden = name
				continue
			case name == "a" && kind == html.StartTagToken:
				for hasAttr {
					var key, value []byte
					key, value, hasAttr = z.TagAttr()
					if string(key) == "href" && len(value) < 2000 {
						write(&out, " ["+string(value)+"] ")
					}
				}
			}
			switch name {
			case "br", "p", "div", "tr", "li", "h1", "h2", "h3", "table", "ul", "ol", "blockquote", "hr":
				if t := out.String(); t != "" && t[len(t)-1] != '\n' {
					out.WriteByte('\n')
				}
			case "td", "th":
				// A row of a table is "name | value".
				if t := out.String(); kind == html.StartTagToken && t != "" && t[len(t)-1] != '\n' && !strings.HasSuffix(t, "| ") {
					write(&out, " | ")
				}
			}
		}
	}
	return strings.TrimSpace(out.String())
}

// write appends s with its blanks run together.
func write(out *strings.Builder, s string) {
	for _, r := range s {
		if r == '\n' || r == '\t' || r == '\r' || r == '\u00a0' || r < ' ' {
			r = ' '
		}
		if t := out.String(); r == ' ' && (t == "" || t[len(t)-1] == ' ' || t[len(t)-1] == '\n') {
			continue
		}
		out.WriteRune(r)
	}
}
