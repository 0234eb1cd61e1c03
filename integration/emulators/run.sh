#!/usr/bin/env bash
# run.sh NAME PORT runs an emulator on 127.0.0.1:PORT until it is ended:
#   kinesalite     Kinesis: polling
#   kinesis-local  Kinesis: also resharding, consumers, tags, encryption
#   dynalite       DynamoDB
# They keep everything in memory, and finish within 20 ms what takes AWS
# seconds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?name of an emulator} port=${2:?port}
modules=$("$here/install.sh")/node_modules

case $name in
kinesalite)
	set -- "$modules/kinesalite/cli.js" --port "$port" --shardLimit 1000 --createStreamMs 20 --deleteStreamMs 20 --updateStreamMs 20
	;;
kinesis-local)
	# It wants a certificate even for plain HTTP, and its TLS port cannot be
	# turned off; 0 is any.
	export KINESIS_MOCK_CERT_PATH=$modules/kinesis-local/server.json KINESIS_MOCK_PLAIN_PORT=$port KINESIS_MOCK_TLS_PORT=0
	export SHARD_LIMIT=1000 LOG_LEVEL=WARN
	for change in CREATE_STREAM DELETE_STREAM UPDATE_SHARD_COUNT SPLIT_SHARD MERGE_SHARDS REGISTER_STREAM_CONSUMER \
		DEREGISTER_STREAM_CONSUMER START_STREAM_ENCRYPTION STOP_STREAM_ENCRYPTION UPDATE_STREAM_MODE; do
		export "${change}_DURATION=20ms"
	done
	set -- "$modules/kinesis-local/main.js"
	;;
dynalite)
	set -- "$modules/dynalite/cli.js" --host 127.0.0.1 --port "$port" --createTableMs 20 --deleteTableMs 20 --updateTableMs 20
	;;
*)
	echo "no such emulator: $name" >&2
	exit 2
	;;
esac
exec node -r "$here/loopback.js" "$@"
