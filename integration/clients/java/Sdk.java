import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Supplier;
import software.amazon.awssdk.auth.credentials.*;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.*;
import software.amazon.awssdk.services.kinesis.model.*;

/**
 * Uses a Kinesis as programs in Java do, with the AWS SDK: CBOR, and subscriptions over HTTP/2.
 *
 * <p>Sdk URL: puts records under resharding, reads them back from every kind of position and by a
 * subscription, and compares. The exit code is 1 when something was not as it should be.
 */
public class Sdk {
  static int failures;
  static KinesisAsyncClient client;
  static final String stream = "nagare-java-" + UUID.randomUUID().toString().substring(0, 12);
  static final Map<String, byte[]> want = new HashMap<>();
  static final Map<String, String> where = new HashMap<>();

  static void check(String what, boolean ok, Object detail) {
    if (!ok) {
      failures++;
      System.out.println("FAIL " + what + " " + detail);
    }
  }

  static void refused(String what, Class<? extends Throwable> kind, Supplier<CompletableFuture<?>> call) {
    try {
      call.get().join();
      check(what, false, "was taken");
    } catch (CompletionException e) {
      check(what, kind.isInstance(e.getCause()) && e.getCause().getMessage() != null, e.getCause());
    }
  }

  static List<Shard> shards() {
    List<Shard> found = new ArrayList<>();
    ListShardsRequest.Builder page = ListShardsRequest.builder().streamName(stream);
    while (true) {
      ListShardsResponse out = client.listShards(page.maxResults(2).build()).join();
      found.addAll(out.shards());
      if (out.nextToken() == null) {
        return found;
      }
      page = ListShardsRequest.builder().nextToken(out.nextToken());
    }
  }

  static void put(int from, int to) throws Exception {
    List<PutRecordsRequestEntry> entries = new ArrayList<>();
    for (int n = from; n < to; n++) {
      byte[] data = MessageDigest.getInstance("SHA-256").digest(("" + n).getBytes(StandardCharsets.UTF_8));
      String key = "ключ \"" + n;
      entries.add(PutRecordsRequestEntry.builder().data(SdkBytes.fromByteArray(data)).partitionKey(key).build());
      want.put(key, data);
    }
    PutRecordsResponse out = client.putRecords(r -> r.streamName(stream).records(entries)).join();
    check("every record is taken", out.failedRecordCount() == 0, out.failedRecordCount());
    for (int i = 0; i < entries.size(); i++) {
      where.put(entries.get(i).partitionKey(), out.records().get(i).shardId() + " " + out.records().get(i).sequenceNumber());
    }
  }

  static List<software.amazon.awssdk.services.kinesis.model.Record> poll(GetShardIteratorRequest.Builder position) {
    String it = client.getShardIterator(position.streamName(stream).build()).join().shardIterator();
    List<software.amazon.awssdk.services.kinesis.model.Record> records = new ArrayList<>();
    while (it != null) {
      GetRecordsResponse out = client.getRecords(GetRecordsRequest.builder().shardIterator(it).limit(77).build()).join();
      records.addAll(out.records());
      it = out.nextShardIterator();
      if (out.millisBehindLatest() == 0) {
        break;
      }
    }
    return records;
  }

  static GetShardIteratorRequest.Builder at(Shard shard, ShardIteratorType type) {
    return GetShardIteratorRequest.builder().shardId(shard.shardId()).shardIteratorType(type);
  }

  public static void main(String[] args) throws Exception {
    client =
        KinesisAsyncClient.builder()
            .endpointOverride(URI.create(args[0]))
            .region(Region.US_EAST_1)
            .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("any", "any")))
            .build();
    client.createStream(r -> r.streamName(stream).shardCount(2)).join();
    client.waiter().waitUntilStreamExists(r -> r.streamName(stream)).join();
    String arn = client.describeStreamSummary(r -> r.streamName(stream)).join().streamDescriptionSummary().streamARN();
    Instant created = client.describeStream(r -> r.streamName(stream)).join().streamDescription().streamCreationTimestamp();
    check("a time is what it is", Math.abs(created.toEpochMilli() - System.currentTimeMillis()) < 60_000, created);
    put(0, 400);
    Shard first = shards().get(0);
    java.math.BigInteger middle = new java.math.BigInteger(first.hashKeyRange().endingHashKey()).shiftRight(1);
    client.splitShard(r -> r.streamARN(arn).shardToSplit(first.shardId()).newStartingHashKey(middle.toString())).join();
    client.waiter().waitUntilStreamExists(r -> r.streamName(stream)).join();
    put(400, 800);
    client.updateShardCount(r -> r.streamARN(arn).targetShardCount(2).scalingType(ScalingType.UNIFORM_SCALING)).join();
    client.waiter().waitUntilStreamExists(r -> r.streamName(stream)).join();
    put(800, 1200);

    Map<String, byte[]> got = new HashMap<>();
    List<Shard> all = shards();
    for (Shard shard : all) {
      var records = poll(at(shard, ShardIteratorType.TRIM_HORIZON));
      for (var r : records) {
        check("a record comes once", got.put(r.partitionKey(), r.data().asByteArray()) == null, r.partitionKey());
        check("a record is where the answer said", (shard.shardId() + " " + r.sequenceNumber()).equals(where.get(r.partitionKey())), r);
        check("it arrived just now", Math.abs(r.approximateArrivalTimestamp().toEpochMilli() - System.currentTimeMillis()) < 60_000, r.approximateArrivalTimestamp());
      }
      if (records.size() > 10) {
        var fifth = records.get(5);
        var after = poll(at(shard, ShardIteratorType.AFTER_SEQUENCE_NUMBER).startingSequenceNumber(fifth.sequenceNumber()));
        check("positions by number", after.equals(records.subList(6, records.size())), after.size());
        var timed = poll(at(shard, ShardIteratorType.AT_TIMESTAMP).timestamp(fifth.approximateArrivalTimestamp()));
        long since = records.stream().filter(r -> !r.approximateArrivalTimestamp().isBefore(fifth.approximateArrivalTimestamp())).count();
        check("positions by time", timed.size() == since, timed.size() + " of " + since);
      }
    }
    check("nothing is lost", got.keySet().equals(want.keySet()), got.size() + " of " + want.size());
    for (String key : want.keySet()) {
      check("nothing is changed", Arrays.equals(want.get(key), got.get(key)), key);
    }
    client.addTagsToStream(r -> r.streamName(stream).tags(Map.of("a", "1"))).join();
    check("tags", client.listTagsForStream(r -> r.streamName(stream)).join().tags().get(0).value().equals("1"), "");
    refused("no such stream", ResourceNotFoundException.class, () -> client.describeStreamSummary(r -> r.streamName("absent")));
    refused("made-up iterator", InvalidArgumentException.class, () -> client.getRecords(r -> r.shardIterator("made-up")));

    // A subscription: what is there, then what comes.
    String consumer = client.registerStreamConsumer(r -> r.streamARN(arn).consumerName("java")).join().consumer().consumerARN();
    while (client.describeStreamConsumer(r -> r.consumerARN(consumer)).join().consumerDescription().consumerStatus() != ConsumerStatus.ACTIVE) {
      Thread.sleep(100);
    }
    Shard target = all.get(all.size() - 1);
    int expected = poll(at(target, ShardIteratorType.TRIM_HORIZON)).size();
    CountDownLatch live = new CountDownLatch(1);
    List<byte[]> seen = Collections.synchronizedList(new ArrayList<>());
    SubscribeToShardResponseHandler handler =
        SubscribeToShardResponseHandler.builder()
            .subscriber(
                event -> {
                  if (event instanceof SubscribeToShardEvent e) {
                    boolean before = seen.size() < expected;
                    e.records().forEach(r -> seen.add(r.data().asByteArray()));
                    if (before && seen.size() >= expected) {
                      client.putRecord(r -> r.streamName(stream).partitionKey("k").explicitHashKey(target.hashKeyRange().startingHashKey()).data(SdkBytes.fromUtf8String("live")));
                    }
                    if (seen.size() > expected) {
                      live.countDown();
                    }
                  }
                })
            .build();
    var subscription =
        client.subscribeToShard(
            r -> r.consumerARN(consumer).shardId(target.shardId()).startingPosition(p -> p.type(ShardIteratorType.TRIM_HORIZON)), handler);
    boolean came = live.await(20, TimeUnit.SECONDS);
    check("a subscription sends all", came && seen.size() == expected + 1 && new String(seen.get(expected)).equals("live"), seen.size() + " of " + (expected + 1));
    refused("a second one within five seconds", ResourceInUseException.class,
        () -> client.subscribeToShard(r -> r.consumerARN(consumer).shardId(target.shardId()).startingPosition(p -> p.type(ShardIteratorType.LATEST)),
            SubscribeToShardResponseHandler.builder().subscriber(event -> {}).build()));
    client.deleteStream(r -> r.streamName(stream).enforceConsumerDeletion(true)).join();
    subscription.cancel(true);
    System.out.printf("AWS SDK for Java %s: %d records over %d shards, %d by subscription, %d failures%n",
        software.amazon.awssdk.core.util.VersionInfo.SDK_VERSION, want.size(), all.size(), seen.size(), failures);
    System.exit(failures > 0 ? 1 : 0);
  }
}
