package app

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A namedFile is a file that people write: its name as problems show it, and
// its bytes.
type namedFile struct {
	name string
	data []byte
	// dir is where files named in it are looked for.
	dir fs.FS
	// base is the file's folder in dir.
	base string
}

// maxWritten bounds a file that people write.
const maxWritten = 4 << 20

// embedded returns the .yaml files of an embedded folder.
func embedded(fsys fs.FS, prefix string) ([]namedFile, error) {
	var out []namedFile
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".yaml" {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		out = append(out, namedFile{name: path.Join(prefix, name), data: data, dir: fsys, base: path.Dir(name)})
		return nil
	})
	return out, err
}

// written returns the .yaml files under paths: files, or folders with all that
// is below them but testdata.
func written(paths []string) ([]namedFile, error) {
	var out []namedFile
	add := func(name string) error {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() > maxWritten {
			return fmt.Errorf("%s has %d bytes, more than the %d of a file that a person wrote", name, info.Size(), maxWritten)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		out = append(out, namedFile{name: name, data: data, dir: os.DirFS(filepath.Dir(name)), base: "."})
		return nil
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, &Usage{err}
		}
		if !info.IsDir() {
			if err := add(p); err != nil {
				return nil, &Usage{err}
			}
			continue
		}
		found := len(out)
		err = filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return fs.SkipDir
			case d.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(name))):
				return add(name)
			}
			return nil
		})
		if err != nil {
			return nil, &Usage{err}
		}
		if len(out) == found {
			return nil, usagef("%s has no .yaml files", p)
		}
	}
	return out, nil
}

// included adds the files that mapping files include and that were not asked
// for themselves: they stand beside them.
func included(files []namedFile) ([]namedFile, error) {
	have := map[string]bool{}
	for _, f := range files {
		have[f.name] = true
	}
	for _, f := range slices.Clone(files) {
		var keys struct {
			Include any `yaml:"include"`
		}
		if yaml.Unmarshal(f.data, &keys) != nil {
			continue // the check says why
		}
		names, ok := keys.Include.([]any)
		if !ok {
			names = []any{keys.Include}
		}
		for _, n := range names {
			name, ok := n.(string)
			if !ok || name != filepath.Base(name) {
				continue
			}
			name = f.name[:strings.LastIndexByte(filepath.ToSlash(f.name), '/')+1] + name
			if _, err := os.Stat(name); err != nil || have[name] {
				continue
			}
			more, err := written([]string{name})
			if err != nil {
				return nil, err
			}
			have[name] = true
			files = append(files, more...)
		}
	}
	return files, nil
}
