package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/textproto"

	"nagare"
)

// A Secret is text that is never printed: not by fmt, slog or encoding/json.
type Secret string

const hidden = "***"

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// Format hides the secret whatever the verb, %x and %q included.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(hidden)) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON hides the secret.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// The kinds of Auth.
const (
	// KindHeader wants a header with a secret.
	KindHeader = "header"
	// KindBasic wants HTTP basic authentication.
	KindBasic = "basic"
)

// Auth says how the requests of a source prove who they are.
type Auth struct {
	// Kind is header or basic.
	Kind string
	// Name is the header of kind header, as X-Nagare-Token.
	Name string
	// User is the user of kind basic.
	User string
	// Secret is the header's value, or the password.
	Secret Secret
}

// check says what is missing.
func (a Auth) check() error {
	switch {
	case a.Kind != KindHeader && a.Kind != KindBasic:
		return fmt.Errorf("auth kind %q: it must be %q or %q", a.Kind, KindHeader, KindBasic)
	case a.Secret == "":
		return errors.New("auth without a secret would let everybody in")
	case a.Kind == KindHeader && a.Name == "":
		return errors.New("auth kind header needs the name of the header")
	case a.Kind == KindBasic && a.User == "":
		return errors.New("auth kind basic needs a user")
	}
	return nil
}

// verdict authenticates a request. It takes the same time for every wrong
// secret, and compares user and password both even if the first is wrong.
func (a Auth) verdict(r *http.Request) string {
	ok := false
	switch a.Kind {
	case KindHeader:
		// Of a repeated header none is believed: proxies differ in which one
		// they forward.
		if v := r.Header[textproto.CanonicalMIMEHeaderKey(a.Name)]; len(v) == 1 {
			ok = equal(v[0], string(a.Secret))
		}
	case KindBasic:
		if user, password, has := r.BasicAuth(); has {
			u, p := equal(user, a.User), equal(password, string(a.Secret))
			ok = u && p
		}
	}
	if ok {
		return nagare.AuthPass
	}
	return nagare.AuthFail
}

// equal compares hashes, so that not even the length of the secret shows.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
