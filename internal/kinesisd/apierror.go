package kinesisd

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error the client is told about, in the shape AWS uses.
type apiError struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
	code    int    // the HTTP status, when the type does not say it
}

func (e *apiError) Error() string { return e.Type + ": " + e.Message }

// Error types of the API. A client decides by them whether to try again.
const (
	invalidArgument  = "InvalidArgumentException"
	validation       = "ValidationException"
	serialization    = "SerializationException"
	resourceNotFound = "ResourceNotFoundException"
	resourceInUse    = "ResourceInUseException"
	limitExceeded    = "LimitExceededException"
	throughput       = "ProvisionedThroughputExceededException"
	expiredIterator  = "ExpiredIteratorException"
	expiredToken     = "ExpiredNextTokenException"
	dryRun           = "DryRunOperationException"
	unknownOperation = "UnknownOperationException"
	accessDenied     = "AccessDeniedException"
	bodyTooLarge     = "RequestEntityTooLargeException"
	internalFailure  = "InternalFailure"
	unavailable      = "ServiceUnavailable"
)

func errorf(kind, format string, args ...any) *apiError {
	return &apiError{Type: kind, Message: fmt.Sprintf(format, args...)}
}

// status is the HTTP status that goes with an error type.
func (e *apiError) status() int {
	if e.code != 0 {
		return e.code
	}
	switch e.Type {
	case internalFailure, "InternalFailureException":
		return http.StatusInternalServerError
	case unavailable:
		return http.StatusServiceUnavailable
	case bodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case accessDenied:
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// asAPI turns any error into one for the client. What is not an apiError is
// ours: the client learns only that it may try again.
func asAPI(err error) *apiError {
	var e *apiError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errClosing):
		return errorf(unavailable, "%s", errClosing)
	}
	return errorf(internalFailure, "the call could not be carried out")
}

func writeError(w http.ResponseWriter, f format, e *apiError) {
	body := mustEncode(f, e)
	w.Header().Set("Content-Type", f.contentType())
	w.WriteHeader(e.status())
	_, _ = w.Write(body) // the client is gone if this fails
}
