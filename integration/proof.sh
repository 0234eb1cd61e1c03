#!/usr/bin/env bash
# make proof: what takes more time than make test has: the demo on the built
# binary, the cases of mappings and rules through it, a longer kill run.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "-- the demo, on a built binary"
go run ./integration/demo -nagare bin/nagare

echo "-- cases of mappings and rules"
bin/nagare mappings test --format table
bin/nagare rules test --format table

echo "-- validators that are not ours, on golden files and the corpus"
if command -v python3 >/dev/null; then
	python3 integration/ocsf/crosscheck.py bin/nagare --pip
else
	echo "skipped: python3 is not here"
fi

echo "-- every state of the commit protocol with two records and a crash"
NAGARE_MODEL=1 go test ./internal/lake/model -count=1 -v | grep -v '^ *[0-9]* [a-z]'

echo "-- the Kinesis suite on servers that are not ours"
installed=0
integration/emulators/install.sh >/dev/null || installed=$?
case $installed in
0) NAGARE_EMULATORS=1 go test ./integration/emulators -count=1 -v
	echo "-- the coordination suite on a DynamoDB that is not ours"
	NAGARE_EMULATORS=1 go test ./internal/coord ./integration -run DynamoDB -count=1 -v ;;
3) ;; # it said what is missing
*) exit 1 ;;
esac

echo "-- boto3 on our Kinesis"
if command -v python3 >/dev/null; then
	NAGARE_CLIENTS=1 go test ./integration/clients -run 'TestPython$' -count=1 -v
else
	echo "skipped: python3 is not here"
fi

echo "-- ten kills under load"
NAGARE_KILLS=10 go test ./integration -run 'TestKills$' -count=1 -v

echo "-- ten kills where the spool acknowledges, and ten with a stream that comes and goes"
NAGARE_KILLS=10 go test ./integration -run 'TestSpool(Kills|Outages)$' -count=1 -v

echo "-- 25 kills of workers that share a stream, with resharding and stops longer than a lease"
NAGARE_KILLS=25 go test ./integration -run 'TestCrash$' -count=1 -v -timeout 20m
