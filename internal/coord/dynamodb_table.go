package coord

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// needTable returns when the table can be used. It makes the table if it is
// not there, also later on, when somebody has removed it: then all rows are
// gone, and what relies on them sees empty rows (the lake's ledger refuses to
// begin anew where there are objects).
func (s *dynamoStore) needTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TableTime)
	defer cancel()
	select { // one of this process's calls at a time; the others then find it
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return fmt.Errorf("table %s: %w", s.cfg.Table, ctx.Err())
	}
	answered := time.Now()
	for try := 0; ; try++ {
		a, err := s.tableReady(ctx)
		switch a {
		case good:
			return nil
		case noTable:
			answered = time.Now()
		case hopeless:
			if ctx.Err() == nil {
				err = fmt.Errorf("%w: %w", ErrUnusable, err)
			}
			return fmt.Errorf("table %s: %w", s.cfg.Table, err)
		}
		if time.Since(answered) > s.cfg.RetryFor {
			return fmt.Errorf("table %s: %w", s.cfg.Table, err)
		}
		t := time.NewTimer(50*time.Millisecond<<min(try, 4) + rand.N(100*time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("table %s: %w", s.cfg.Table, errors.Join(ctx.Err(), err))
		case <-t.C:
		}
	}
}

// tableReady looks at the table once and asks for it to be made if it is not
// there. noTable means that it is on its way.
func (s *dynamoStore) tableReady(ctx context.Context) (answer, error) {
	var out *dynamodb.DescribeTableOutput
	a, err := s.once(ctx, func(ctx context.Context) (err error) {
		out, err = s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: s.table})
		return err
	})
	switch {
	case a == noTable:
		return s.makeTable(ctx)
	case err != nil:
		return a, err
	case out.Table == nil:
		return hopeless, errors.New("the service did not describe it")
	}
	switch out.Table.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
		return checkSchema(out.Table)
	case types.TableStatusCreating, types.TableStatusDeleting:
		return noTable, fmt.Errorf("it is still %s", out.Table.TableStatus)
	}
	return hopeless, fmt.Errorf("it is %s", out.Table.TableStatus)
}

func (s *dynamoStore) makeTable(ctx context.Context) (answer, error) {
	text := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS}
	}
	a, err := s.once(ctx, func(ctx context.Context) error {
		_, err := s.client.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName: s.table, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{text(attrPart), text(attrSort)},
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String(attrPart), KeyType: types.KeyTypeHash},
				{AttributeName: aws.String(attrSort), KeyType: types.KeyTypeRange},
			},
		})
		return err
	})
	switch a {
	case good:
		s.cfg.Stats.Tables.Add(1)
		s.cfg.Log.Warn("coordination table made; all rows begin anew", "table", s.cfg.Table)
		return noTable, errors.New("it is being made")
	case hopeless:
		return a, fmt.Errorf("it is not there, and making it was refused: %w; make it with partition key %q and sort key %q, both strings", err, attrPart, attrSort)
	}
	return a, err // another is making it, or the service was busy
}

// checkSchema sees that the table is one we can use.
func checkSchema(t *types.TableDescription) (answer, error) {
	keys := map[types.KeyType]string{}
	for _, k := range t.KeySchema {
		keys[k.KeyType] = aws.ToString(k.AttributeName)
	}
	textual := 0
	for _, a := range t.AttributeDefinitions {
		if name := aws.ToString(a.AttributeName); (name == attrPart || name == attrSort) && a.AttributeType == types.ScalarAttributeTypeS {
			textual++
		}
	}
	if keys[types.KeyTypeHash] != attrPart || keys[types.KeyTypeRange] != attrSort || textual != 2 {
		return hopeless, fmt.Errorf("its partition key is %q and its sort key %q, not the strings %q and %q: name another table in coord.table",
			keys[types.KeyTypeHash], keys[types.KeyTypeRange], attrPart, attrSort)
	}
	return good, nil
}
