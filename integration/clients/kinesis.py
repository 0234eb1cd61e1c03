#!/usr/bin/env python3
"""Uses a Kinesis as programs in Python do, with boto3: kinesis.py URL.

Puts records of every size under load of resharding, reads them back by polling
from every kind of position, and by a subscription; compares byte for byte.
Prints what it did; the exit code is 1 when something was not as it should be,
3 when boto3 is not here.
"""
import hashlib
import sys
import time
import uuid

try:
    import boto3
    import botocore
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(3)

stream = "nagare-python-" + uuid.uuid4().hex[:12]
failures = 0


def check(what, ok, detail=""):
    global failures
    if not ok:
        failures += 1
        print(f"FAIL {what} {detail}")


def refused(what, code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        error = e.response["Error"]
        check(what, error["Code"] == code and error["Message"], error)
        return
    check(what, False, "was taken")


def shards():
    """Lists in pages. The paginator of botocore sends the name beside the token, which AWS refuses."""
    found, page = [], {"StreamName": stream}
    while True:
        out = client.list_shards(MaxResults=2, **page)
        found += out["Shards"]
        if "NextToken" not in out:
            return found
        page = {"NextToken": out["NextToken"]}


def put(numbers):
    """Puts numbered records; what each must come back as goes to want."""
    entries = []
    for n in numbers:
        data = hashlib.sha256(str(n).encode()).digest() * (n % 50)
        key = f"ключ {n} \" \\ \n"
        entries.append({"Data": data, "PartitionKey": key})
        want[key] = data
    out = client.put_records(StreamName=stream, Records=entries)
    check("every record is taken", out["FailedRecordCount"] == 0, out["FailedRecordCount"])
    for entry, result in zip(entries, out["Records"]):
        where[entry["PartitionKey"]] = (result["ShardId"], result["SequenceNumber"])


def poll(shard, **position):
    """Reads a shard to its end, or its tip."""
    it = client.get_shard_iterator(StreamName=stream, ShardId=shard, **position)["ShardIterator"]
    records = []
    while it:
        out = client.get_records(ShardIterator=it, Limit=77)
        records += out["Records"]
        it = out.get("NextShardIterator")
        if out["MillisBehindLatest"] == 0:
            break
    return records


client = boto3.client(
    "kinesis", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any",
    config=Config(retries={"max_attempts": 1}, read_timeout=20),
)
want, where = {}, {}

client.create_stream(StreamName=stream, ShardCount=2)
client.get_waiter("stream_exists").wait(StreamName=stream)
arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
put(range(0, 400))
first, second = shards()
middle = (int(first["HashKeyRange"]["StartingHashKey"]) + int(first["HashKeyRange"]["EndingHashKey"])) // 2
client.split_shard(StreamARN=arn, ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
client.get_waiter("stream_exists").wait(StreamName=stream)
put(range(400, 800))
upper = next(s for s in shards() if s["HashKeyRange"]["StartingHashKey"] == str(middle))
client.merge_shards(StreamName=stream, ShardToMerge=upper["ShardId"], AdjacentShardToMerge=second["ShardId"])
client.get_waiter("stream_exists").wait(StreamName=stream)
put(range(800, 1200))
client.update_shard_count(StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
client.get_waiter("stream_exists").wait(StreamName=stream)
put(range(1200, 1600))

all_shards = shards()
got = {}
for shard in all_shards:
    records = poll(shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    numbers = [int(r["SequenceNumber"]) for r in records]
    check("numbers rise", numbers == sorted(set(numbers)), shard["ShardId"])
    for r in records:
        check("a record comes once", r["PartitionKey"] not in got, r["PartitionKey"])
        check("a record is where the answer said", where[r["PartitionKey"]] == (shard["ShardId"], r["SequenceNumber"]))
        got[r["PartitionKey"]] = r["Data"]
    if len(records) > 10:
        fifth = records[5]
        at = poll(shard["ShardId"], ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=fifth["SequenceNumber"])
        after = poll(shard["ShardId"], ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=fifth["SequenceNumber"])
        check("positions by number", at == records[5:] and after == records[6:])
        timed = poll(shard["ShardId"], ShardIteratorType="AT_TIMESTAMP", Timestamp=fifth["ApproximateArrivalTimestamp"])
        want_timed = [r for r in records if r["ApproximateArrivalTimestamp"] >= fifth["ApproximateArrivalTimestamp"]]
        check("positions by time", timed == want_timed, f"{len(timed)} of {len(want_timed)}")
check("nothing is lost or changed", got == want, f"{len(got)} of {len(want)}")

client.add_tags_to_stream(StreamName=stream, Tags={"a": "1", "b": "2"})
client.remove_tags_from_stream(StreamName=stream, TagKeys=["a"])
check("tags", client.list_tags_for_stream(StreamName=stream)["Tags"] == [{"Key": "b", "Value": "2"}])
check("listed", stream in client.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 1}).build_full_result()["StreamNames"])
refused("no such stream", "ResourceNotFoundException", client.describe_stream_summary, StreamName=stream + "-absent")
refused("made-up iterator", "InvalidArgumentException", client.get_records, ShardIterator="made-up")
refused("key out of range", "InvalidArgumentException", client.put_record, StreamName=stream, Data=b"x", PartitionKey="k", ExplicitHashKey=str(2**128))

# A subscription: what is there, then what comes.
consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="python")["Consumer"]
while client.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
    time.sleep(0.1)
target = all_shards[-1]
expected = [r["Data"] for r in poll(target["ShardId"], ShardIteratorType="TRIM_HORIZON")]
events = client.subscribe_to_shard(ConsumerARN=consumer["ConsumerARN"], ShardId=target["ShardId"], StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
seen, told = [], False
for event in events:
    event = event["SubscribeToShardEvent"]
    seen += [r["Data"] for r in event["Records"]]
    if not told and len(seen) >= len(expected):
        told = True
        client.put_record(StreamName=stream, Data=b"live", PartitionKey="k", ExplicitHashKey=target["HashKeyRange"]["StartingHashKey"])
    if seen and seen[-1] == b"live":
        break
events.close()
check("a subscription sends all", seen == expected + [b"live"], f"{len(seen)} of {len(expected) + 1}")
refused("a second one within five seconds", "ResourceInUseException", client.subscribe_to_shard,
        ConsumerARN=consumer["ConsumerARN"], ShardId=target["ShardId"], StartingPosition={"Type": "LATEST"})
client.deregister_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
client.delete_stream(StreamName=stream, EnforceConsumerDeletion=True)
client.get_waiter("stream_not_exists").wait(StreamName=stream)

print(f"boto3 {boto3.__version__}: {len(want)} records over {len(all_shards)} shards, {len(seen)} by subscription, {failures} failures")
sys.exit(1 if failures else 0)
