package app

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"

	"nagare/consumers/live"
	"nagare/internal/config"
	"nagare/ocsf/mapping"
	"nagare/producers"
	"nagare/producers/webhook"
)

// intake is what takes deliveries in: the webhook, with every source's way of
// authentication. A source without one in the configuration gets a random
// token, or is left out.
func (p *pipeline) intake(metrics *producers.Metrics) (http.Handler, error) {
	c := p.core
	key, err := p.data.hashKey()
	if err != nil {
		return nil, fmt.Errorf("key of hashed fields: %w", err)
	}
	sources, err := p.senders()
	if err != nil {
		return nil, err
	}
	intake := producers.NewIntake(producers.Config{
		Head: func() producers.Head { return c.mappings.Head(mapping.Options{HashKey: key}) }, Events: p.reach.watch(p.toEvents), Bulk: p.reach.watch(p.toBulk), Adapters: adapters,
		Decompressed: int(c.config.Limits.Decompressed), Depth: c.config.Limits.Depth, Log: p.opts.Log, Metrics: metrics,
	})
	handler, err := webhook.New(webhook.Config{
		Intake: intake, Sources: sources, MaxBody: int(c.config.Limits.Body), Log: p.opts.Log, Metrics: metrics,
	})
	if err != nil {
		return nil, &Usage{err}
	}
	return handler, nil
}

// senders says how each source that is served proves itself.
func (p *pipeline) senders() (map[string]webhook.Source, error) {
	kept := map[string]string{}
	p.tokens = map[string]string{}
	if p.makeTokens {
		var err error
		if kept, err = readTokens(p.opts.Data); err != nil {
			return nil, err
		}
	}
	sources := map[string]webhook.Source{}
	for _, name := range p.core.mappings.Sources() {
		if name == live.FindingSource {
			continue // our own, and nobody else's
		}
		auth := p.core.config.Sources[name].Auth
		if auth == nil {
			if !p.makeTokens {
				continue
			}
			if p.tokens[name] = kept[name]; p.tokens[name] == "" {
				token := make([]byte, 16)
				rand.Read(token)
				p.tokens[name] = hex.EncodeToString(token)
			}
			auth = &config.Auth{Kind: "header", Name: "X-Nagare-Token", Secret: config.NewSecret(p.tokens[name])}
		}
		sources[name] = webhook.Source{Auth: webhook.Auth{Kind: auth.Kind, Name: auth.Name, User: auth.User, Secret: webhook.Secret(auth.Secret.Reveal())}}
		p.served = append(p.served, name)
	}
	slices.Sort(p.served)
	if !p.makeTokens {
		return sources, nil
	}
	return sources, writeTokens(p.opts.Data, p.tokens)
}
