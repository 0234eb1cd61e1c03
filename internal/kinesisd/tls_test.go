package kinesisd_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/internal/kinesisd"
	"nagare/internal/kinesisd/kinesistest"
)

// TestConformanceOverTLS goes over HTTP/2 with the certificate that the server
// wrote, and over the other address at the same time.
func TestConformanceOverTLS(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the transport alone differs")
	}
	dir := t.TempDir()
	s := kinesistest.Start(t, kinesisd.Config{Dir: dir, ListenTLS: "127.0.0.1:0"})
	text, err := os.ReadFile(filepath.Join(dir, "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Get(s.TLSURL())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("spoke %s", resp.Proto)
	}
	kinesistest.Run(t, func(*testing.T) *kinesis.Client {
		o := kinesistest.Client(s.TLSURL()).Options()
		o.HTTPClient = &http.Client{Transport: transport}
		return kinesis.New(o)
	})
	if _, err := kinesistest.Client(s.URL()).ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err != nil {
		t.Errorf("without TLS: %v", err)
	}
}

// TestConformanceOverHTTP2 begins with HTTP/2 at once, as the SDK for Java
// does where there is no TLS.
func TestConformanceOverHTTP2(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the transport alone differs")
	}
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir()})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	kinesistest.Run(t, func(*testing.T) *kinesis.Client {
		o := kinesistest.Client(s.URL()).Options()
		o.HTTPClient = &http.Client{Transport: transport}
		return kinesis.New(o)
	})
}
