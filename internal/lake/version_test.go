package lake

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"nagare/internal/blob"
)

func TestClaim(t *testing.T) {
	for name, c := range map[string]struct {
		objects []string // there before
		claims  []string
		refused string // the last claim is, because the lake has this version
		version string
	}{
		"empty":                  {nil, nil, "", ""},
		"first claim":            {nil, []string{"1.1.0"}, "", "1.1.0"},
		"again":                  {nil, []string{"1.1.0", "1.1.0"}, "", "1.1.0"},
		"another":                {nil, []string{"1.1.0", "1.3.0"}, "1.1.0", "1.1.0"},
		"back":                   {nil, []string{"1.3.0", "1.1.0"}, "1.3.0", "1.3.0"},
		"from before, the same":  {[]string{"ext/nagare_0/x.parquet"}, []string{"1.3.0"}, "", "1.3.0"},
		"from before, the other": {[]string{"ext/nagare_0/x.parquet"}, []string{"1.1.0"}, "1.3.0", "1.3.0"},
		"not a lake's file":      {[]string{"README"}, []string{"1.1.0"}, "", "1.1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := blob.Dir(filepath.Join(t.TempDir(), "lake"))
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range c.objects {
				if err := store.Put(t.Context(), key, blob.Bytes([]byte("x"))); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range c.claims {
				err = Claim(t.Context(), store, v)
			}
			var other *VersionError
			if errors.As(err, &other) != (c.refused != "") || other != nil && (other.Has != c.refused || !strings.Contains(err.Error(), "lake.ocsf")) {
				t.Errorf("last claim: %v, want refused for %q", err, c.refused)
			}
			if got, err := Version(t.Context(), store); err != nil || got != c.version {
				t.Errorf("version %q %v, want %q", got, err, c.version)
			}
		})
	}
}
