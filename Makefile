# Everything a person runs. Each target is one readable line.
SHELL := /bin/bash
N ?= 20
FUZZTIME ?= 30s
export CGO_ENABLED = 1

.PHONY: build run demo test check proof crash bench corpus fuzz

build: ## bin/nagare
	go build -trimpath -ldflags "-s -w" -o bin/nagare ./cmd/nagare

run: build ## the whole pipeline on this machine; Ctrl-C stops it
	bin/nagare up

demo: build ## the whole chain on sample events, in a temporary folder
	go run ./integration/demo -nagare bin/nagare

test: build ## every test that needs Go only
	go test -timeout 20m ./...

check: ## vet, staticcheck, race
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go test -race -short $$(go list ./... | grep -v /integration)

proof: build ## the demo, cases, kill runs
	integration/proof.sh

crash: build ## several workers on one stream: make crash N=1000 WORKERS=4 SEED=1
	NAGARE_KILLS=$(N) NAGARE_WORKERS=$(WORKERS) NAGARE_SEED=$(SEED) go test ./integration -run 'TestCrash$$' -count=1 -v -timeout 4h

bench: ## results go to docs/measured.md by hand
	go test -run '^$$' -bench . -benchmem ./...

corpus: build ## what becomes of ../shared/data, folder by folder
	go run ./integration/corpus -nagare bin/nagare

fuzz: ## every fuzz target, FUZZTIME each
	integration/fuzz.sh $(FUZZTIME)
