// Command measure takes the figures of docs/measured.md that need the whole
// program: how many events a second nagare send brings into the lake, and how
// long an event takes from intake to its alert at a steady rate. With -frames it
// prints instead how well events of each source are compressed on the stream.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("nagare", "bin/nagare", "the nagare binary")
	events := flag.Int("events", 50_000, "events of the throughput run")
	rate := flag.Int("rate", 500, "events a second of the latency run")
	seconds := flag.Int("seconds", 20, "length of the latency run")
	samples := flag.String("frames", "", "a folder of folders of sample events, as ../shared/data: measure only how they are compressed on the stream")
	flag.Parse()
	if *samples != "" {
		if err := frames(*binary, *samples); err != nil {
			fmt.Fprintln(os.Stderr, "measure:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*binary, *events, *rate, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// signIn is an Okta event of about 1.2 KB. Without a reason it is an ordinary
// sign-in; with one it is a refusal that a rule alerts on, by its address.
func signIn(uid, ip, reason string) []byte {
	result := "SUCCESS"
	if reason != "" {
		result = "FAILURE"
	}
	return fmt.Appendf(nil, `{"actor":{"id":"00u1","type":"User","alternateId":"sato@example.co.jp","displayName":"Sato","detailEntry":null},"client":{"userAgent":{"rawUserAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36","os":"Windows 10","browser":"CHROME"},"zone":"null","device":"Computer","id":null,"ipAddress":%q,"geographicalContext":{"city":"Osaka","state":"Osaka","country":"Japan","postalCode":"530","geolocation":{"lat":34.69,"lon":135.5}}},"authenticationContext":{"authenticationStep":0,"externalSessionId":"idx-%s"},"displayMessage":"Authentication of user via MFA","eventType":"user.authentication.auth_via_mfa","outcome":{"result":%q,"reason":%q},"published":%q,"securityContext":{"asNumber":64500,"asOrg":"example","isp":"example isp","domain":"example.net","isProxy":false},"severity":"INFO","debugContext":{"debugData":{"factor":"FIDO_WEBAUTHN","requestUri":"/idp/idx/identify"}},"transaction":{"type":"WEB","id":"tx-%s"},"uuid":%q,"version":"0","request":{"ipChain":[{"ip":%q,"version":"V4"}]},"target":[{"id":"00u1","type":"User","alternateId":"sato@example.co.jp","displayName":"Sato"}]}`,
		ip, uid, result, reason, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), uid, uid, ip)
}

type runInfo struct {
	PID    int               `json:"pid"`
	HTTP   string            `json:"http"`
	Admin  string            `json:"admin"`
	Tokens map[string]string `json:"tokens"`
}

func run(binary string, events, rate, seconds int) error {
	dir, err := os.MkdirTemp("", "nagare-measure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	up := exec.Command(binary, "--data", filepath.Join(dir, "data"), "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--flush", "5s")
	up.Stderr = os.Stderr
	out, err := up.StdoutPipe()
	if err != nil {
		return err
	}
	if err := up.Start(); err != nil {
		return err
	}
	defer func() {
		_ = up.Process.Signal(syscall.SIGINT)
		_ = up.Wait()
	}()
	alerts := watch(out)
	info, err := ready(dir)
	if err != nil {
		return err
	}
	if err := throughput(binary, dir, events); err != nil {
		return err
	}
	return latency(info, alerts, rate, seconds)
}

func ready(dir string) (runInfo, error) {
	var info runInfo
	for range 300 {
		data, err := os.ReadFile(filepath.Join(dir, "data", "run.json"))
		if err == nil && json.Unmarshal(data, &info) == nil {
			if resp, err := http.Get(info.Admin + "/readyz"); err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return info, nil
				}
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return info, fmt.Errorf("nagare up is not ready after 30 s")
}

// throughput sends a file and waits until the lake holds it.
func throughput(binary, dir string, events int) error {
	file := filepath.Join(dir, "events.jsonl")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	size := 0
	for i := range events {
		line := signIn(fmt.Sprintf("bulk-%d", i), "203.0.113.20", "")
		size += len(line) + 1
		w.Write(line)
		w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		return err
	}
	f.Close()
	began := time.Now()
	answer, err := exec.Command(binary, "--data", filepath.Join(dir, "data"), "send", "--source", "okta", "--format", "json", file).Output()
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	sent := time.Since(began)
	for {
		got, err := exec.Command(binary, "--data", filepath.Join(dir, "data"), "query", "--format", "csv", "select count(*) from authentication").Output()
		if err != nil {
			return fmt.Errorf("query: %w", err)
		}
		lines := bytes.Fields(got)
		if n, _ := strconv.Atoi(string(lines[len(lines)-1])); n >= events {
			break
		}
		if time.Since(began) > 3*time.Minute {
			return fmt.Errorf("the lake does not hold %d events after 3 minutes: %s", events, answer)
		}
		time.Sleep(100 * time.Millisecond)
	}
	lake := time.Since(began)
	fmt.Printf("send: %d events, %.1f MB: durable on the stream in %.2f s (%.0f events/s, %.0f MB/s), in the lake in %.2f s (%.0f events/s)\n",
		events, float64(size)/1e6, sent.Seconds(), float64(events)/sent.Seconds(), float64(size)/1e6/sent.Seconds(), lake.Seconds(), float64(events)/lake.Seconds())
	return nil
}

// addresses of alerts, as the terminal receiver prints them.
var address = regexp.MustCompile(`198\.51\.(\d+)\.(\d+)`)

// watch notes when each alert was printed, by its address.
func watch(r io.Reader) *sightings {
	s := &sightings{at: map[string]time.Time{}}
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if m := address.FindString(lines.Text()); m != "" {
				s.mu.Lock()
				if _, ok := s.at[m]; !ok {
					s.at[m] = time.Now()
				}
				s.mu.Unlock()
			}
		}
	}()
	return s
}

type sightings struct {
	mu sync.Mutex
	at map[string]time.Time
}

// latency posts events one by one at a steady rate. One in a hundred raises an
// alert of its own.
func latency(info runInfo, alerts *sightings, rate, seconds int) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	sent := map[string]time.Time{}
	var acks []time.Duration
	var mu sync.Mutex
	var wg sync.WaitGroup
	failed := 0
	for n := range rate * seconds {
		<-tick.C
		ip, reason := "203.0.113.20", ""
		if n%100 == 0 {
			ip, reason = fmt.Sprintf("198.51.%d.%d", 100+n/100/250, 1+n/100%250), "FastPass declined phishing attempt"
		}
		body := signIn(fmt.Sprintf("live-%d", n), ip, reason)
		at := time.Now()
		if reason != "" {
			sent[ip] = at
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			req, _ := http.NewRequest(http.MethodPost, info.HTTP+"/v1/okta", bytes.NewReader(body))
			req.Header.Set("X-Nagare-Token", info.Tokens["okta"])
			resp, err := client.Do(req)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || resp.StatusCode != http.StatusAccepted {
				failed++
			}
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				acks = append(acks, time.Since(at))
			}
		}()
	}
	wg.Wait()
	time.Sleep(3 * time.Second)
	var took []time.Duration
	alerts.mu.Lock()
	for ip, at := range sent {
		if seen, ok := alerts.at[ip]; ok {
			took = append(took, seen.Sub(at))
		}
	}
	alerts.mu.Unlock()
	fmt.Printf("latency at %d events/s for %d s: %d refused; acknowledged p50 %s, p99 %s; intake to alert p50 %s, p99 %s (%d of %d alerts seen)\n",
		rate, seconds, failed, at(acks, 50), at(acks, 99), at(took, 50), at(took, 99), len(took), len(sent))
	return nil
}

func at(d []time.Duration, percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, len(d)*percent/100)].Round(100 * time.Microsecond)
}
