package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// An awayError is a service that could not be reached: where it was looked
// for, and what to do.
type awayError struct {
	text string
	err  error
}

func (e *awayError) Error() string { return e.text }
func (e *awayError) Unwrap() error { return e.err }

// away says of an error of an AWS client that met no server where that was
// looked for and what to do next; every other error it returns as it is. What
// the SDK itself says of it begins with its tokens for retries.
func away(err error) error {
	var op *smithy.OperationError
	var said *awayError
	var usage *Usage
	if err == nil || errors.As(err, &said) || errors.As(err, &usage) || !errors.As(err, &op) || !unanswered(err) {
		return err
	}
	at := "its endpoint"
	why := strings.ReplaceAll(op.Err.Error(), "\n", "; ")
	var request *url.Error
	if errors.As(err, &request) {
		why = strings.ReplaceAll(request.Err.Error(), "\n", "; ")
		if u, perr := url.Parse(request.URL); perr == nil {
			at = u.Scheme + "://" + u.Host
		}
	}
	text := fmt.Sprintf("%s at %s does not answer: %s", op.ServiceID, at, why)
	switch op.ServiceID {
	case "Kinesis":
		text = fmt.Sprintf("the stream (Kinesis at %s) does not answer: %s; start what serves it, or correct stream.endpoint of the configuration or AWS_ENDPOINT_URL_KINESIS", at, why)
	case "DynamoDB":
		text = fmt.Sprintf("the rows (DynamoDB at %s) do not answer: %s; start what serves them, or correct coord.endpoint of the configuration or AWS_ENDPOINT_URL_DYNAMODB", at, why)
	}
	return &Unreachable{&awayError{text, err}}
}

// unanswered says that no server answered: none was reached, or not in time.
func unanswered(err error) bool {
	var answered *smithyhttp.ResponseError
	var api smithy.APIError
	// Of no answer at all the SDK makes one with status 0.
	if errors.As(err, &answered) && answered.HTTPStatusCode() != 0 || errors.As(err, &api) || errors.Is(err, context.Canceled) {
		return false
	}
	var send *smithyhttp.RequestSendError
	var network net.Error
	return errors.As(err, &send) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}
