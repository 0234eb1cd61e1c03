package app

import (
	"context"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/internal/config"
)

// streamAWS is how the SDK reaches the configured stream: at its endpoint, or
// as the SDK finds by itself, from AWS_REGION, AWS_PROFILE,
// AWS_ENDPOINT_URL_KINESIS and so on.
func streamAWS(ctx context.Context, s config.Stream) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return cfg, usagef("AWS configuration: %w", err)
	}
	if s.Endpoint != "" {
		// Only for Kinesis, which is all that this Config is used for.
		cfg.BaseEndpoint = aws.String(s.Endpoint)
		cfg.ConfigSources = nil // else AWS_ENDPOINT_URL_KINESIS would win
	}
	if !onLoopback(kinesis.NewFromConfig(cfg).Options().BaseEndpoint) {
		if cfg.Region == "" {
			return cfg, usagef("no AWS region is set: set AWS_REGION; for a stream on this machine set stream.endpoint, as http://127.0.0.1:4567")
		}
		return cfg, nil
	}
	// An emulator on this machine asks for no proof, but the SDK wants some.
	if cfg.Region == "" {
		cfg.Region = region
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") == "" && os.Getenv("AWS_PROFILE") == "" {
		cfg.Credentials = embeddedAWS("").Credentials
	}
	return cfg, nil
}

func onLoopback(endpoint *string) bool {
	u, err := url.Parse(aws.ToString(endpoint))
	return err == nil && loopback(u.Hostname())
}
