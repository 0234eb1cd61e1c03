package config

import (
	"fmt"
	"os"
	"strings"
)

// A Secret is text that must not be seen: it prints as ***. In the file it is
// env:NAME or file:PATH; text in place is taken too, for a laptop.
type Secret struct {
	text string
	from string // what the file says, for errors; "" for text in place
	err  error
}

// NewSecret holds text.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.text }

// Set says whether there is one.
func (s Secret) Set() bool { return s.text != "" || s.err != nil }

// String hides the secret.
func (s Secret) String() string { return "***" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return "***" }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// UnmarshalText resolves env:NAME and file:PATH. What cannot be resolved is a
// problem of the file, reported by check with its line.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret{text: string(text)}
	switch kind, rest, _ := strings.Cut(s.text, ":"); kind {
	case "env":
		s.from, s.text = string(text), os.Getenv(rest)
		if s.text == "" {
			s.err = fmt.Errorf("the environment has no %s, or it is empty", rest)
		}
	case "file":
		s.from = string(text)
		s.text, s.err = secretFile(rest)
	}
	return nil
}

// secretFile reads a file of at most 64 KiB, without its last newline.
func secretFile(name string) (string, error) {
	const maxBytes = 64 << 10
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", err
	case info.Size() > maxBytes:
		return "", fmt.Errorf("%s has %d bytes, more than the %d a secret may have", name, info.Size(), maxBytes)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return text, nil
}

// A Size is a number of bytes; in the file 10MiB, 64KiB, 1GiB or a number.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	str := strings.TrimSpace(string(text))
	unit := int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(str, suffix); ok {
			str, unit = strings.TrimSpace(rest), n
		}
	}
	var n int64
	if _, err := fmt.Sscanf(str+"\n", "%d\n", &n); err != nil || n <= 0 || n > 1<<40/unit {
		return fmt.Errorf("%q is not a size: write it as 10MiB", text)
	}
	*s = Size(n * unit)
	return nil
}
