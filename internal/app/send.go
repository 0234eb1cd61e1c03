package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	smithy "github.com/aws/smithy-go"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"nagare"
	"nagare/internal/config"
	"nagare/ocsf/mapping"
	"nagare/producers"
)

// SendOptions are the flags of send.
type SendOptions struct {
	Source string
	Live   bool
	// To is the URL of a running intake; Header goes with each request.
	To     string
	Header map[string]string
	Files  []string
	JSON   bool
	// Out gets the answer, Progress the bar.
	Out, Progress io.Writer
}

// A sendResult is the answer of send.
type sendResult struct {
	Accepted int     `json:"accepted"`
	Dead     int     `json:"dead"`
	ID       string  `json:"id"`
	Seconds  float64 `json:"seconds"`
}

// Send brings files onto the stream, through the same intake as deliveries.
// It returns nil when everything is durable, dead letters included.
func Send(ctx context.Context, o Options, s SendOptions) error {
	if s.To != "" {
		return sendTo(ctx, s)
	}
	c, err := loadCore(o, selection{onlyMappings: true, source: s.Source, noSecrets: true})
	if err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	if _, ok := c.mappings.Source(s.Source); !ok {
		return unknownSource(c, s.Source)
	}
	for _, f := range s.Files { // all of them, before any is sent
		_, closeFile, err := openInput(f)
		if err != nil {
			return &Usage{err}
		}
		if f != "-" {
			_ = closeFile()
		}
	}
	data, err := openData(ctx, o, c.config, "127.0.0.1:0")
	if err != nil {
		return err
	}
	return errors.Join(sendFiles(ctx, o, s, c, data), data.close())
}

func sendFiles(ctx context.Context, o Options, s SendOptions, c *core, data *dataDir) error {
	client := data.client()
	name := c.config.Stream.Name
	if err := sendStreams(ctx, client, c.config); err != nil {
		return err
	}
	key, err := data.hashKey()
	if err != nil {
		return fmt.Errorf("key of hashed fields: %w", err)
	}
	claims, err := openClaims(o, c.config)
	if err != nil {
		return err
	}
	writer := producers.WriterConfig{Claims: claims, Log: o.Log}
	events, bulk := producers.NewWriter(client, name, writer), producers.NewWriter(client, name+"-bulk", writer)
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 2)
	go func() { done <- events.Run(writing) }()
	go func() { done <- bulk.Run(writing) }()
	intake := producers.NewIntake(producers.Config{
		Head: func() producers.Head { return c.mappings.Head(mapping.Options{HashKey: key}) }, Events: events, Bulk: bulk, Adapters: adapters,
		Decompressed: int(c.config.Limits.Decompressed), Depth: c.config.Limits.Depth, Log: o.Log,
	})
	result, err := sendEach(ctx, s, func(r io.Reader, name string, progress func(int64)) (producers.Result, error) {
		return intake.AcceptFile(ctx, producers.Delivery{Source: s.Source, Name: name, Live: s.Live, Auth: nagare.AuthPass}, r, progress)
	})
	stop()
	err = errors.Join(err, <-done, <-done)
	if err != nil {
		return unreachablef("not everything is durable: %w; send it again, repeats are found", away(err))
	}
	return s.answer(result)
}

// sendStreams makes the streams, as serve does, where they are not there.
func sendStreams(ctx context.Context, client *kinesis.Client, c config.Config) error {
	wait, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	err := makeStreams(wait, client, streams(c), c.Stream.Shards, c.Stream.Retention)
	var api smithy.APIError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return stopped(ctx)
	case errors.As(err, &api) && strings.Contains(api.ErrorCode(), "AccessDenied"):
		var op *smithy.OperationError
		if errors.As(err, &op) && op.OperationName == "CreateStream" {
			return unreachablef("%w; it does not exist: have it made, by nagare serve or with AWS's own tools", err)
		}
		return nil // who may put records need not be let look
	}
	return away(unreachablef("%w", err))
}

// sendEach sends the files one after another, with a bar over all of them.
func sendEach(ctx context.Context, s SendOptions, accept func(io.Reader, string, func(int64)) (producers.Result, error)) (sendResult, error) {
	var total int64
	for _, f := range s.Files {
		if info, err := os.Stat(f); err == nil {
			total += info.Size()
		}
	}
	bar := newBar(s.Progress, total, "sending")
	var sum sendResult
	began := time.Now()
	for _, f := range s.Files {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		r, closeFile, err := openInput(f)
		if err != nil {
			return sum, err
		}
		var last int64
		res, err := accept(r, filepath.Base(f), func(n int64) {
			_ = bar.Add64(n - last)
			last = n
		})
		_ = closeFile()
		sum.Accepted += res.Accepted
		sum.Dead += res.Dead
		sum.ID = res.ID
		if err != nil {
			return sum, fmt.Errorf("%s: %w", f, err)
		}
	}
	_ = bar.Finish()
	sum.Seconds = time.Since(began).Seconds()
	return sum, nil
}

// newBar is a progress bar on a terminal, and nothing elsewhere.
func newBar(w io.Writer, total int64, what string) *progressbar.ProgressBar {
	f, ok := w.(*os.File)
	visible := ok && term.IsTerminal(int(f.Fd()))
	if total == 0 {
		total = -1
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
		progressbar.OptionSetVisibility(visible), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
}

func (s SendOptions) answer(r sendResult) error {
	if s.JSON {
		return json.NewEncoder(s.Out).Encode(r)
	}
	rate := ""
	if r.Seconds > 0 && r.Accepted > 100 {
		rate = fmt.Sprintf(", %.0f events/s", float64(r.Accepted)/r.Seconds)
	}
	_, err := fmt.Fprintf(s.Out, "%d events are on the stream, %d of them dead letters (%.2f s%s)\n", r.Accepted, r.Dead, r.Seconds, rate)
	return err
}

// maxPost bounds a file that is posted in one request.
const maxPost = 64 << 20

// sendTo posts the files to a running intake, one request each.
func sendTo(ctx context.Context, s SendOptions) error {
	url := strings.TrimSuffix(s.To, "/")
	if !strings.Contains(url, "/v1/") {
		url += "/v1/" + s.Source
	}
	result, err := sendEach(ctx, s, func(r io.Reader, name string, progress func(int64)) (producers.Result, error) {
		var out producers.Result
		body, err := io.ReadAll(io.LimitReader(r, maxPost+1))
		if err != nil {
			return out, err
		}
		if len(body) > maxPost {
			return out, fmt.Errorf("more than %d MiB: split it, or send it without --to", maxPost>>20)
		}
		progress(int64(len(body)))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return out, &Usage{err}
		}
		for k, v := range s.Header {
			req.Header.Set(strings.TrimSpace(k), strings.TrimSpace(v))
		}
		if req.Header.Get("Content-Type") == "" {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return out, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			return out, err
		}
		if resp.StatusCode == http.StatusUnauthorized {
			return out, fmt.Errorf("%s: give --header 'X-Nagare-Token: VALUE', the value is in run.json or the configuration", resp.Status)
		}
		if resp.StatusCode != http.StatusAccepted {
			return out, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
		}
		err = json.Unmarshal(answer, &out)
		return out, err
	})
	var usage *Usage
	if errors.As(err, &usage) {
		return err
	}
	if err != nil {
		return unreachablef("%w", err)
	}
	return s.answer(result)
}
