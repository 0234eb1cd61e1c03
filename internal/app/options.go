// Package app wires the rooms together: it opens the stores, starts what runs
// long, and stops it in order. It is the only place that knows all rooms; the
// table of adapters is here too.
//
// It decides nothing about events.
package app

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// Options are what every command has.
type Options struct {
	// Config names the configuration file; "" means nagare.yaml if there is
	// one.
	Config string
	// Data is the folder for streams, lake and state.
	Data string
	// Command is the command's name, as "checkpoints list".
	Command string
	// Log gets what operators should know.
	Log *slog.Logger
}

// NewLog logs text to w, from a level on.
func NewLog(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}

// lakeDir is where the lake is: as configured, or in the data folder.
func (o Options) lakeDir(configured string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(o.Data, "lake")
}

// configFile is the file to read; "" if there is none to read.
func (o Options) configFile() string {
	const byDefault = "nagare.yaml"
	if o.Config == "" {
		if _, err := os.Stat(byDefault); err == nil {
			return byDefault
		}
	}
	return o.Config
}
