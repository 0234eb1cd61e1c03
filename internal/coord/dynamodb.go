package coord

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// DynamoDBConfig says which table is used and how patiently. Its zero value,
// with AWS filled, is ready to use.
type DynamoDBConfig struct {
	// AWS has the region and the credentials. Its retryer is not used: a
	// client that sends a write again by itself hides that the first one was
	// applied.
	AWS aws.Config
	// Endpoint is the URL of the service; the default is what AWS says, as
	// AWS_ENDPOINT_URL_DYNAMODB does, or the region's.
	Endpoint string
	// Table is the table's name, 3 to 255 characters; the default is nagare.
	// It is made, with on-demand capacity, when it is not there.
	Table string
	// TryTime is the longest one request may take; the default is 2 s.
	TryTime time.Duration
	// RetryFor is the longest that one call goes on after its first request
	// when the service is busy or fails; the default is 10 s. The context's
	// deadline may end it earlier.
	RetryFor time.Duration
	// TableTime is the longest wait for the table to be made; the default is
	// one minute.
	TableTime time.Duration
	// Stats counts; nil counts nowhere.
	Stats *DynamoDBStats
	// Log gets what operators should know; nil is silent.
	Log *slog.Logger
}

// DynamoDBStats counts what an operator asks about.
type DynamoDBStats struct {
	// Requests are all that were sent, Throttled those refused for their rate,
	// Failed those without an answer or with 5xx, ReadBacks the reads that
	// found out what had become of a write, Unknown the writes of which even
	// that did not tell, and Tables how often the table was made.
	Requests, Throttled, Failed, ReadBacks, Unknown, Tables atomic.Int64
}

// The attributes of an item. All of them are named in expressions as #name,
// because some are reserved words.
const (
	attrPart    = "part"    // S, partition key
	attrSort    = "sort"    // S, sort key; DynamoDB orders it by bytes
	attrVersion = "version" // N, Row.Version
	attrValue   = "value"   // S if it is UTF-8, else B; not there when empty
	attrAttempt = "attempt" // S, names the one Put that wrote this version
)

// maxListBytes bounds what List holds: 500 rows of the largest value are less.
const maxListBytes = 256 << 20

// ErrUnusable is returned by OpenDynamoDB when waiting would not help: the
// table is another's, or may not be used, or there are no credentials.
var ErrUnusable = errors.New("coord: the table cannot be used")

// DynamoDBEndpoint is the URL where the SDK's configuration says that DynamoDB
// is, as AWS_ENDPOINT_URL_DYNAMODB does; "" where it leaves that to the
// region.
func DynamoDBEndpoint(cfg aws.Config) string {
	return aws.ToString(dynamodb.NewFromConfig(cfg).Options().BaseEndpoint)
}

// dynamoStore keeps the rows in one DynamoDB table, an item each. It uses
// single-item conditional writes and consistent reads only.
type dynamoStore struct {
	cfg    DynamoDBConfig
	client *dynamodb.Client
	table  *string
	making chan struct{} // holds one while the table is looked after
}

// OpenDynamoDB opens the store in a DynamoDB table, or makes the table. Any
// number of processes may use it.
//
// A Put whose answer is lost is looked for by reading the row back, and sent
// again if it was not applied; so its callers rarely see an unknown outcome.
// They still do when the row was changed, or removed, once more before it
// could be read.
func OpenDynamoDB(ctx context.Context, cfg DynamoDBConfig) (Store, error) {
	cfg.Table = cmp.Or(cfg.Table, "nagare")
	cfg.TryTime = cmp.Or(cfg.TryTime, 2*time.Second)
	cfg.RetryFor = cmp.Or(cfg.RetryFor, 10*time.Second)
	cfg.TableTime = cmp.Or(cfg.TableTime, time.Minute)
	if cfg.Stats == nil {
		cfg.Stats = &DynamoDBStats{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &dynamoStore{cfg: cfg, table: &cfg.Table, making: make(chan struct{}, 1)}
	s.client = dynamodb.NewFromConfig(cfg.AWS, func(o *dynamodb.Options) {
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = boundedClient(o.HTTPClient, cfg.AWS.HTTPClient == nil)
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
		if o.Region == "" && o.BaseEndpoint != nil {
			o.Region = "us-east-1" // an emulator has no region, and the signature needs one
		}
	})
	if err := s.needTable(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Stats are the counters of this store.
func (s *dynamoStore) Stats() *DynamoDBStats { return s.cfg.Stats }

// Get implements Store.
func (s *dynamoStore) Get(ctx context.Context, part, sort string) (Row, error) {
	if err := checkKey(part, sort); err != nil {
		return Row{}, err
	}
	var out *dynamodb.GetItemOutput
	err := s.read(ctx, s.patience(), func(ctx context.Context) (err error) {
		out, err = s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: s.table, Key: itemKey(part, sort), ConsistentRead: aws.Bool(true)})
		return err
	})
	var r Row
	if err == nil {
		r, err = rowOf(out.Item)
	}
	switch {
	case err != nil:
		return Row{}, fmt.Errorf("coord: get %s %s: %w", part, sort, err)
	case r.Version == 0:
		return Row{}, ErrNotFound
	case r.Part != part || r.Sort != sort:
		return Row{}, fmt.Errorf("coord: get %s %s: the service answered with row %q of %q", part, sort, r.Sort, r.Part)
	}
	return r, nil
}

// Put implements Store.
func (s *dynamoStore) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	if err := checkPut(part, sort, value); err != nil {
		return 0, err
	}
	w := write{key: itemKey(part, sort), ifVersion: ifVersion, attempt: rand.Text(), version: ifVersion + 1}
	if ifVersion == 0 {
		w.version = firstVersion()
	}
	item := itemKey(part, sort)
	item[attrVersion] = number(w.version)
	item[attrAttempt] = &types.AttributeValueMemberS{Value: w.attempt}
	switch {
	case len(value) == 0: // emulators know no empty ones
	case utf8.Valid(value): // so that people can read it in the console
		item[attrValue] = &types.AttributeValueMemberS{Value: string(value)}
	default:
		item[attrValue] = &types.AttributeValueMemberB{Value: value}
	}
	in := &dynamodb.PutItemInput{TableName: s.table, Item: item}
	if ifVersion == 0 {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("attribute_not_exists(#p)"), map[string]string{"#p": attrPart}
	} else {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = versionIs(ifVersion)
	}
	w.send = func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, in)
		return err
	}
	if err := s.write(ctx, w); err != nil {
		return 0, fmt.Errorf("coord: put %s %s: %w", part, sort, err)
	}
	return w.version, nil
}

// Delete implements Store.
func (s *dynamoStore) Delete(ctx context.Context, part, sort string, ifVersion int64) error {
	if err := checkKey(part, sort); err != nil {
		return err
	}
	if ifVersion == 0 {
		return fmt.Errorf("coord: delete %s %s: %w", part, sort, ErrConflict)
	}
	in := &dynamodb.DeleteItemInput{TableName: s.table, Key: itemKey(part, sort)}
	in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = versionIs(ifVersion)
	err := s.write(ctx, write{key: in.Key, ifVersion: ifVersion, send: func(ctx context.Context) error {
		_, err := s.client.DeleteItem(ctx, in)
		return err
	}})
	if err != nil {
		return fmt.Errorf("coord: delete %s %s: %w", part, sort, err)
	}
	return nil
}

// List implements Store. It asks page by page, because an answer has at most
// 1 MB whatever the limit
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html).
func (s *dynamoStore) List(ctx context.Context, part, after string, limit int) ([]Row, error) {
	if err := checkList(part, limit); err != nil {
		return nil, err
	}
	in := &dynamodb.QueryInput{
		TableName: s.table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#p = :p"),
		ExpressionAttributeNames:  map[string]string{"#p": attrPart},
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: part}},
	}
	if after != "" {
		in.KeyConditionExpression = aws.String("#p = :p AND #s > :s")
		in.ExpressionAttributeNames["#s"] = attrSort
		in.ExpressionAttributeValues[":s"] = &types.AttributeValueMemberS{Value: after}
	}
	var rows []Row
	bytes := 0
	for {
		in.Limit = aws.Int32(int32(limit - len(rows)))
		var out *dynamodb.QueryOutput
		err := s.read(ctx, s.patience(), func(ctx context.Context) (err error) {
			out, err = s.client.Query(ctx, in)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("coord: list %s: %w", part, err)
		}
		for _, item := range out.Items {
			r, err := rowOf(item)
			if err != nil {
				return nil, fmt.Errorf("coord: list %s: %w", part, err)
			}
			if r.Part != part || r.Sort <= after {
				return nil, fmt.Errorf("coord: list %s after %q: the service answered with row %q of %q", part, after, r.Sort, r.Part)
			}
			rows, after = append(rows, r), r.Sort
			bytes += len(r.Value)
		}
		switch {
		case out.LastEvaluatedKey == nil || len(rows) >= limit:
			return rows[:min(len(rows), limit)], nil
		case len(out.Items) == 0: // only a filter, which we have not, makes a page empty
			return nil, fmt.Errorf("coord: list %s after %q: the service answered with an empty page", part, after)
		case bytes > maxListBytes:
			return nil, fmt.Errorf("coord: list %s: more than %d bytes; ask for fewer rows", part, maxListBytes)
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Close implements Store.
func (s *dynamoStore) Close() error {
	if c, ok := s.client.Options().HTTPClient.(*bounded); ok {
		c.close()
	}
	return nil
}

func itemKey(part, sort string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		attrPart: &types.AttributeValueMemberS{Value: part},
		attrSort: &types.AttributeValueMemberS{Value: sort},
	}
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// versionIs is the condition that a row is still as it was read.
func versionIs(v int64) (*string, map[string]string, map[string]types.AttributeValue) {
	return aws.String("#v = :v"), map[string]string{"#v": attrVersion}, map[string]types.AttributeValue{":v": number(v)}
}

// errNotOurs says that something else writes to the table too.
var errNotOurs = errors.New("the item was not written by this program: give the coordination a table of its own")

// rowOf reads an item; no item is a row of version 0.
func rowOf(item map[string]types.AttributeValue) (Row, error) {
	if len(item) == 0 {
		return Row{}, nil
	}
	part, ok1 := item[attrPart].(*types.AttributeValueMemberS)
	sort, ok2 := item[attrSort].(*types.AttributeValueMemberS)
	version, err := versionOf(item)
	if !ok1 || !ok2 || err != nil {
		return Row{}, errNotOurs
	}
	r := Row{Part: part.Value, Sort: sort.Value, Version: version}
	switch v := item[attrValue].(type) {
	case nil:
		r.Value = []byte{}
	case *types.AttributeValueMemberS:
		r.Value = []byte(v.Value)
	case *types.AttributeValueMemberB:
		r.Value = v.Value
	default:
		return Row{}, errNotOurs
	}
	return r, nil
}

// versionOf reads the version of an item that is there.
func versionOf(item map[string]types.AttributeValue) (int64, error) {
	n, ok := item[attrVersion].(*types.AttributeValueMemberN)
	if !ok {
		return 0, errNotOurs
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil || v < 1 {
		return 0, errNotOurs
	}
	return v, nil
}
