package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nagare"
)

// A Usage error is a wrong use or configuration: exit code 2.
type Usage struct{ Err error }

func (e *Usage) Error() string { return e.Err.Error() }
func (e *Usage) Unwrap() error { return e.Err }

// An Unreachable error is something that could not be reached: exit code 3.
type Unreachable struct{ Err error }

func (e *Unreachable) Error() string { return e.Err.Error() }
func (e *Unreachable) Unwrap() error { return e.Err }

// Found says that a command did its work and found something wrong, which it
// has already shown: exit code 1.
type Found struct{ What string }

func (e *Found) Error() string { return e.What }

// ExitCode is the exit code for the error of a command.
func ExitCode(err error) int {
	var usage *Usage
	var unreachable *Unreachable
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &unreachable):
		return 3
	}
	return 1
}

// stopped is the error of what was told to stop and had not begun: ctx is over.
func stopped(ctx context.Context) error {
	return fmt.Errorf("stopped (%w) before it began; nothing was changed", context.Cause(ctx))
}

func usagef(format string, args ...any) error { return &Usage{fmt.Errorf(format, args...)} }

func unreachablef(format string, args ...any) error { return &Unreachable{fmt.Errorf(format, args...)} }

// problemsError is all that is wrong with a file, one line each.
func problemsError(what string, problems []nagare.Problem) error {
	var lines []string
	for _, p := range problems {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return usagef("%s:\n%s", what, strings.Join(lines, "\n"))
}
