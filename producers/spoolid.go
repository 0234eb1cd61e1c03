package producers

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// spoolID is the folder's own name, made with it: what is written down of one
// spool says nothing about the files of another.
func spoolID(dir string) (string, error) {
	name := filepath.Join(dir, "id")
	text, err := os.ReadFile(name)
	if id := strings.TrimSpace(string(text)); err == nil && len(id) == len(rand.Text()) {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := rand.Text()
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintln(f, id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return "", err
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	return id, errors.Join(d.Sync(), d.Close())
}
