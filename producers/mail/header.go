package mail

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Limits of a header. Beyond the first ones only fields that say what the mail
// is are read, beyond maxScan nothing.
const (
	maxHeaderBytes = 256 << 10
	maxHeaders     = 800 // an event keeps 1,000 fields beside its attributes
	maxScan        = 16 << 20
	maxKnownBytes  = 32 << 10 // of a field that is read beyond the limits
)

// known are the fields that are read wherever they stand in a header: each
// twice, because two of From are a reason for doubt.
var known = []string{"from", "to", "cc", "subject", "date", "message-id", "content-type", "content-transfer-encoding", "mime-version", "dkim-signature"}

// head returns the header and the empty line behind it. If it is over a limit,
// excess says so, and left is the number of fields that are not in it.
func head(raw []byte) (header []byte, excess string, left int) {
	var late []byte // what is read beyond the limits
	seen := map[string]int{}
	end, fields := 0, 0 // of what is read whole
	take := true        // what continues the field at hand goes where it went
	n := 0
	for n < len(raw) && n < maxScan {
		next := len(raw)
		if i := bytes.IndexByte(raw[n:], '\n'); i >= 0 {
			next = n + i + 1
		}
		line := bytes.TrimRight(raw[n:next], "\r\n")
		if len(line) == 0 && fields > 0 {
			if excess == "" {
				end = next
			}
			n = next
			break
		}
		first := len(line) > 0 && line[0] != ' ' && line[0] != '\t'
		if excess == "" {
			switch {
			case next > maxHeaderBytes:
				excess = "a header of too many bytes"
			case first && fields >= maxHeaders:
				excess = "too many header fields"
			default:
				end = next
			}
		}
		if first {
			fields++
		}
		if name := nameOf(line); first && name != "" {
			seen[name]++
			take = excess != "" && seen[name] <= 2
		} else if first {
			take = false
		}
		if excess != "" {
			if first {
				left++
			}
			if take && next-n <= maxKnownBytes && len(late) < len(known)*maxKnownBytes {
				if first {
					left--
				}
				late = append(append(late, line...), "\r\n"...)
			}
		}
		n = next
	}
	if excess == "" && n >= maxScan {
		excess = "a header of too many bytes"
	}
	header = bytes.Clone(raw[:end])
	if excess != "" {
		excess += fmt.Sprintf(" (%d fields, %d of them left out)", fields, left)
		if header = bytes.TrimRight(header, "\r\n"); len(header) > 0 {
			header = append(header, "\r\n"...)
		}
		header = append(header, late...)
	}
	return append(header, "\r\n"...), excess, left
}

// nameOf is the name of a field that is known; "" for others.
func nameOf(line []byte) string {
	name, _, ok := bytes.Cut(line[:min(len(line), 40)], []byte{':'})
	if !ok {
		return ""
	}
	if s := strings.ToLower(string(bytes.TrimRight(name, " \t"))); slices.Contains(known, s) {
		return s
	}
	return ""
}
