package main

import (
	"bytes"
	"os"
	"testing"
)

// TestFactsAreCurrent holds that the built-in facts are what this generator
// makes of the compiled schemas, where those are at hand.
func TestFactsAreCurrent(t *testing.T) {
	for _, version := range []string{"1.1.0", "1.3.0"} {
		text, err := os.ReadFile("../../../shared/ocsf/schema-" + version + ".json")
		if err != nil {
			t.Skip("no compiled schema at hand")
		}
		f, err := Facts(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("../facts/" + version + ".json.gz")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("facts of %s: run go generate ./ocsf/facts", version)
		}
	}
}

func TestNotASchema(t *testing.T) {
	for _, text := range []string{"", "{}", `{"classes":{}}`, "[1]"} {
		if _, err := Facts([]byte(text)); err == nil {
			t.Errorf("%q was taken for a schema", text)
		}
	}
}
