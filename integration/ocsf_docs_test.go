package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestOCSFDocs runs the commands of docs/ocsf.md. What stands under one must
// come in its output, line by line in this order; other lines may be between.
func TestOCSFDocs(t *testing.T) {
	binary := build(t)
	text, err := os.ReadFile("../docs/ocsf.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```console\n\\$ nagare ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 4 {
		t.Fatalf("%d commands in docs/ocsf.md", len(blocks))
	}
	for _, b := range blocks {
		_, stdout, stderr := run(binary, strings.Fields(b[1])...)
		out := strings.Split(string(stdout)+string(stderr), "\n")
		for _, want := range strings.Split(strings.TrimSpace(b[2]), "\n") {
			found := false
			for len(out) > 0 && !found {
				found = strings.TrimRight(out[0], " ") == strings.TrimRight(want, " ")
				out = out[1:]
			}
			if !found {
				t.Errorf("nagare %s does not print, or not there:\n%s", b[1], want)
				break
			}
		}
	}
}
