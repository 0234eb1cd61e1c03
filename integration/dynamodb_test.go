package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nagare/internal/coord/coordtest"
)

// TestKillsDynamoDB is TestKills with the rows in DynamoDB. Every other round
// all leases are deleted under the running consumers too: they take the shards
// anew, and the ledger, which is still there, keeps what is in the lake from
// getting there twice.
func TestKillsDynamoDB(t *testing.T) {
	url := coordtest.Dynalite(t)
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	deleted := 0
	killsOn(t, 4, fmt.Sprintf("stream: {shards: 3}\ncoord: {kind: dynamodb, table: kills, endpoint: %q}\n", url), func(round int) {
		if round%2 == 0 {
			deleted += deleteLeases(t, client, "kills")
		}
	})
	if deleted < 9 { // three shards, three rounds
		t.Errorf("%d leases were deleted", deleted)
	}
}

// deleteLeases removes all leases, whoever has them.
func deleteLeases(t *testing.T, client *dynamodb.Client, table string) (n int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			part, ok := item["part"].(*types.AttributeValueMemberS)
			if !ok || !strings.HasPrefix(part.Value, "lease/") {
				continue
			}
			key := map[string]types.AttributeValue{"part": item["part"], "sort": item["sort"]}
			if _, err := client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key}); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	return n
}

// TestDynamoDBExits holds what commands say of a table they cannot have.
func TestDynamoDBExits(t *testing.T) {
	binary := build(t)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, c := range []struct {
		coord string
		code  int
		says  string
	}{
		{`{kind: dynamodb}`, 2, "AWS_REGION"},
		{`{kind: dynamodb, endpoint: "127.0.0.1:8000"}`, 2, "coord.endpoint is no URL"},
		{`{kind: dynamodb, table: x}`, 2, "coord.table"},
		{`{kind: dynamodb, endpoint: "http://127.0.0.1:1"}`, 3, "connection refused"},
	} {
		if c.code == 3 && os.Getenv("NAGARE_EMULATORS") == "" {
			continue // it is tried for ten seconds, too long for make test
		}
		config := filepath.Join(t.TempDir(), "nagare.yaml")
		if err := os.WriteFile(config, []byte("coord: "+c.coord+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(binary, "--config", config, "--data", t.TempDir(), "alerts", "list")
		if code != c.code || !strings.Contains(string(stderr), c.says) {
			t.Errorf("coord: %s: exit %d, want %d: %s", c.coord, code, c.code, stderr)
		}
	}
}
