package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"nagare/internal/config"
	"nagare/internal/coord"
)

// openCoord opens the rows that leases, ledger and alerts are kept in: those
// of the data folder, or the configured table. They may be open in several
// processes.
func openCoord(ctx context.Context, o Options, c config.Coord) (coord.Store, error) {
	switch c.Kind {
	case "sqlite":
		s, err := coord.OpenSQLite(filepath.Join(o.Data, "coord.db"))
		if err != nil {
			return nil, fmt.Errorf("coordination store: %w", err)
		}
		return s, nil
	case "dynamodb":
		return openDynamoDB(ctx, o, c)
	}
	return nil, usagef("coord.kind %q is unknown", c.Kind)
}

// openDynamoDB reaches the table at its endpoint, or where the SDK finds it,
// from AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_DYNAMODB and so on.
func openDynamoDB(ctx context.Context, o Options, c config.Coord) (coord.Store, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, usagef("AWS configuration: %w", err)
	}
	endpoint := cmp.Or(c.Endpoint, coord.DynamoDBEndpoint(cfg))
	switch {
	case onLoopback(&endpoint): // an emulator asks for no proof, but the SDK wants some
		cfg.Region = cmp.Or(cfg.Region, region)
		if os.Getenv("AWS_ACCESS_KEY_ID") == "" && os.Getenv("AWS_PROFILE") == "" {
			cfg.Credentials = embeddedAWS("").Credentials
		}
	case cfg.Region == "":
		return nil, usagef("no AWS region is set for coord.kind dynamodb: set AWS_REGION; for an emulator on this machine set coord.endpoint, as http://127.0.0.1:8000")
	}
	s, err := coord.OpenDynamoDB(ctx, coord.DynamoDBConfig{AWS: cfg, Endpoint: c.Endpoint, Table: c.Table, Log: o.Log})
	switch {
	case errors.Is(err, coord.ErrUnusable):
		return nil, usagef("%w", err)
	case err != nil && ctx.Err() != nil:
		return nil, stopped(ctx)
	case err != nil:
		return nil, away(unreachablef("%w", err))
	}
	return s, nil
}

// coordConfig reads what the configuration says of the rows, for commands that
// need nothing else of it.
func coordConfig(o Options) (config.Coord, error) {
	c, err := plainConfig(o)
	return c.Coord, err
}
