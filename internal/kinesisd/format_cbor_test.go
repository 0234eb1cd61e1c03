package kinesisd_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/fxamacker/cbor/v2"

	"nagare/internal/kinesisd"
	"nagare/internal/kinesisd/kinesistest"
)

const cborType = "application/x-amz-cbor-1.1"

// TestConformanceInCBOR puts every call but subscriptions through CBOR, which
// the SDK for Go does not speak.
func TestConformanceInCBOR(t *testing.T) {
	t.Parallel()
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir()})
	kinesistest.Run(t, func(t *testing.T) *kinesis.Client {
		o := kinesistest.Client(s.URL()).Options()
		o.HTTPClient = &http.Client{Transport: &translator{t, o.HTTPClient.(*http.Client).Transport}}
		return kinesis.New(o)
	})
}

// translator makes CBOR of calls in JSON, and JSON of answers in CBOR. It goes
// by the names of members: Data is bytes, and times are called so.
type translator struct {
	t    *testing.T
	next http.RoundTripper
}

func (c *translator) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SubscribeToShard") {
		return c.next.RoundTrip(r)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	in, err := toCBOR(text)
	if err != nil {
		c.t.Errorf("%s: %v", text, err)
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Content-Type", cborType)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(in)), int64(len(in))
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != cborType {
		c.t.Errorf("%s is answered as %q", r.Header.Get("X-Amz-Target"), got)
	}
	if len(body) > 0 {
		if body, err = toJSON(body); err != nil {
			c.t.Errorf("%s is answered with %v", r.Header.Get("X-Amz-Target"), err)
		}
	}
	resp.Header.Set("Content-Type", "application/x-amz-json-1.1")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

func toCBOR(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var walk func(name string, v any) (any, error)
	walk = func(name string, v any) (any, error) {
		var err error
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				if v[k], err = walk(k, v[k]); err != nil {
					return nil, err
				}
			}
		case []any:
			for i := range v {
				if v[i], err = walk("", v[i]); err != nil {
					return nil, err
				}
			}
		case string:
			if name == "Data" {
				return base64.StdEncoding.DecodeString(v)
			}
		case json.Number:
			if strings.HasSuffix(name, "Timestamp") {
				f, err := v.Float64()
				return cbor.Tag{Number: 1, Content: int64(math.Round(f * 1000))}, err
			}
			return v.Int64()
		}
		return v, nil
	}
	if v, err := walk("", v); err != nil {
		return nil, err
	} else {
		return cbor.Marshal(v)
	}
}

func toJSON(body []byte) ([]byte, error) {
	var v any
	if err := cbor.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	var walk func(name string, v any) (any, error)
	walk = func(name string, v any) (any, error) {
		var err error
		switch v := v.(type) {
		case map[any]any:
			out := map[string]any{}
			for k := range v {
				name, ok := k.(string)
				if !ok {
					return nil, fmt.Errorf("member %v", k)
				}
				if out[name], err = walk(name, v[k]); err != nil {
					return nil, err
				}
			}
			return out, nil
		case []any:
			for i := range v {
				if v[i], err = walk("", v[i]); err != nil {
					return nil, err
				}
			}
		case uint64:
			if strings.HasSuffix(name, "Timestamp") {
				return nil, fmt.Errorf("%s has no tag", name)
			}
		case time.Time:
			ms := v.Unix() // the library took it for seconds
			return json.Number(fmt.Sprintf("%d.%03d", ms/1000, ms%1000)), nil
		case string:
			if name == "Data" {
				return nil, fmt.Errorf("Data is text")
			}
		}
		return v, nil
	}
	out, err := walk("", v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}
