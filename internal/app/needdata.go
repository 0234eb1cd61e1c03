package app

import (
	"os"
	"path/filepath"
)

// needData refuses a data folder that no pipeline has worked on: a command
// that only reads would find nothing there, and leave empty stores behind as
// if that were the answer. elsewhere says that what is read is in services.
func (o Options) needData(elsewhere bool) error {
	if elsewhere {
		return nil
	}
	// What up, serve, send, kinesis and replay leave there.
	for _, name := range []string{lockFile, runFile, "coord.db", "kinesis", "stage", "archive", "lake", "hash.key"} {
		if _, err := os.Stat(filepath.Join(o.Data, name)); err == nil {
			return nil
		}
	}
	what := "is empty, or another's"
	if _, err := os.Stat(o.Data); err != nil {
		what = "cannot be read"
		if os.IsNotExist(err) {
			what = "does not exist"
		}
	}
	return usagef("no data of nagare in %s, which %s: name the folder of nagare up or serve with --data; to begin one there, run nagare up, or nagare send", o.Data, what)
}
