// Package clients runs programs that are not ours against internal/kinesisd,
// as their users do: boto3, the AWS SDK for Java, and Amazon's client and
// producer libraries. They are skipped where Python, Java or Maven is not.
package clients

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nagare/internal/kinesisd"
	"nagare/internal/kinesisd/kinesistest"
)

// asked skips the test unless it was asked for and its tools are here.
func asked(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("NAGARE_CLIENTS") == "" {
		t.Skip("NAGARE_CLIENTS is not set; it brings packages from the registries of Python and Java")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not here", tool)
		}
	}
}

// run runs a program to its good end.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	t.Log(lines[len(lines)-1])
}

// TestPython makes an environment with boto3, in the cache, and runs
// kinesis.py in it.
func TestPython(t *testing.T) {
	asked(t, "python3")
	venv := filepath.Join(cache(t), "boto3-1.44.8")
	python := filepath.Join(venv, "bin", "python")
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		run(t, ".", "python3", "-m", "venv", "--clear", venv)
		run(t, ".", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "boto3==1.44.8")
	}
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir()})
	run(t, ".", python, "kinesis.py", s.URL())
}

// TestJavaSDK speaks CBOR, and HTTP/2 from the first byte.
func TestJavaSDK(t *testing.T) {
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir()})
	java(t, "Sdk.java", s.URL())
}

// TestKCL lets Amazon's client library read through a split and a merge, by
// polling and by fan-out; its leases are in dynalite.
func TestKCL(t *testing.T) {
	asked(t, "java", "mvn", "node", "npm")
	dynamo := dynalite(t)
	for _, how := range []string{"polling", "fanout"} {
		t.Run(how, func(t *testing.T) {
			s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir()})
			java(t, "Kcl.java", s.URL(), dynamo, how)
		})
	}
}

// TestKPL lets Amazon's producer library put aggregated records. It speaks
// HTTPS only.
func TestKPL(t *testing.T) {
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir(), ListenTLS: "127.0.0.1:0"})
	java(t, "Kpl.java", s.URL(), s.TLSURL()[strings.LastIndexByte(s.TLSURL(), ':')+1:])
}

// java runs one file of the java folder.
func java(t *testing.T, file string, args ...string) {
	t.Helper()
	asked(t, "java", "mvn")
	path, err := classPath()
	if err != nil {
		t.Fatal(err)
	}
	run(t, "java", "java", append([]string{"-cp", path, file}, args...)...)
}

// classPath has Maven fetch what pom.xml names.
var classPath = sync.OnceValues(func() (string, error) {
	f, err := os.CreateTemp("", "nagare-classpath-")
	if err != nil {
		return "", err
	}
	_ = f.Close()
	defer os.Remove(f.Name())
	cmd := exec.Command("mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile="+f.Name())
	cmd.Dir = "java"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn: %w\n%s", err, out)
	}
	path, err := os.ReadFile(f.Name())
	return string(path), err
})

func cache(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("NAGARE_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Skip(err)
		}
		dir = filepath.Join(base, "nagare")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// dynalite runs a DynamoDB until the test ends and returns its address.
func dynalite(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.Command("../emulators/run.sh", "dynalite", fmt.Sprint(port))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			t.Fatal("dynalite does not answer")
		}
	}
}
