import java.net.URI;
import java.util.*;
import java.util.concurrent.*;
import software.amazon.awssdk.auth.credentials.*;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.*;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.kinesis.common.*;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.*;
import software.amazon.kinesis.lifecycle.events.*;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.*;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * Consumes a Kinesis with Amazon's client library: Kcl KINESIS-URL DYNAMODB-URL polling|fanout.
 *
 * <p>Puts records, splits a shard and merges two while they come, and checks that the library hands
 * over every record. The exit code is 1 when some did not come.
 */
public class Kcl {
  static final Set<String> seen = ConcurrentHashMap.newKeySet();
  static final Set<String> ended = ConcurrentHashMap.newKeySet();

  static class Processor implements ShardRecordProcessor {
    private String shard;

    public void initialize(InitializationInput in) {
      shard = in.shardId();
    }

    public void processRecords(ProcessRecordsInput in) {
      in.records().forEach(r -> seen.add(r.partitionKey()));
    }

    public void leaseLost(LeaseLostInput in) {}

    public void shardEnded(ShardEndedInput in) {
      try {
        in.checkpointer().checkpoint();
        ended.add(shard);
      } catch (InvalidStateException | ShutdownException e) {
        System.out.println("checkpoint at the end of " + shard + ": " + e);
      }
    }

    public void shutdownRequested(ShutdownRequestedInput in) {
      try {
        in.checkpointer().checkpoint();
      } catch (InvalidStateException | ShutdownException e) {
        System.out.println("checkpoint at the stop: " + e);
      }
    }
  }

  public static void main(String[] args) throws Exception {
    var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("any", "any"));
    var kinesis =
        KinesisClientUtil.createKinesisAsyncClient(
            KinesisAsyncClient.builder().endpointOverride(URI.create(args[0])).region(Region.US_EAST_1).credentialsProvider(credentials));
    var dynamo = DynamoDbAsyncClient.builder().endpointOverride(URI.create(args[1])).region(Region.US_EAST_1).credentialsProvider(credentials).build();
    var watch = CloudWatchAsyncClient.builder().endpointOverride(URI.create(args[1])).region(Region.US_EAST_1).credentialsProvider(credentials).build();
    String name = "nagare-kcl-" + UUID.randomUUID().toString().substring(0, 12);
    kinesis.createStream(r -> r.streamName(name).shardCount(2)).join();
    kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name)).join();

    createLeaseTable(dynamo, name);

    var configs = new ConfigsBuilder(name, name, kinesis, dynamo, watch, "worker", Processor::new);
    var retrieval = configs.retrievalConfig();
    retrieval.retrievalSpecificConfig(
        args[2].equals("fanout")
            ? new FanOutConfig(kinesis).streamName(name).applicationName(name)
            : new PollingConfig(name, kinesis).idleTimeBetweenReadsInMillis(200));
    retrieval.streamTracker(
        new SingleStreamTracker(name, InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON)));
    var leases = configs.leaseManagementConfig().shardSyncIntervalMillis(1000).failoverTimeMillis(2000)
        .leasesRecoveryAuditorExecutionFrequencyMillis(5000);
    var coordinator = configs.coordinatorConfig().parentShardPollIntervalMillis(500).shardConsumerDispatchPollIntervalMillis(100);
    var scheduler =
        new Scheduler(configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(),
            configs.metricsConfig().metricsFactory(new NullMetricsFactory()), configs.processorConfig(), retrieval);
    Thread thread = new Thread(scheduler);
    thread.setDaemon(true);
    thread.start();

    int n = 0;
    long until = System.currentTimeMillis() + 120_000;
    while (seen.size() < 50 && System.currentTimeMillis() < until) { // it has begun
      put(kinesis, name, n++);
      Thread.sleep(20);
    }
    Shard first = kinesis.listShards(r -> r.streamName(name)).join().shards().get(0);
    var middle = new java.math.BigInteger(first.hashKeyRange().endingHashKey()).shiftRight(1);
    kinesis.splitShard(r -> r.streamName(name).shardToSplit(first.shardId()).newStartingHashKey(middle.toString())).join();
    for (int i = 0; i < 200; i++) {
      put(kinesis, name, n++);
    }
    kinesis.mergeShards(r -> r.streamName(name).shardToMerge("shardId-000000000003").adjacentShardToMerge("shardId-000000000001")).join();
    for (int i = 0; i < 200; i++) {
      put(kinesis, name, n++);
    }
    while ((seen.size() < n || ended.size() < 3) && System.currentTimeMillis() < until) {
      Thread.sleep(100);
    }
    boolean stopped = scheduler.startGracefulShutdown().get(30, TimeUnit.SECONDS);
    System.out.printf("KCL, %s: %d of %d records, %d of 3 shards ended, stopped: %s%n", args[2], seen.size(), n, ended.size(), stopped);
    kinesis.deleteStream(r -> r.streamName(name).enforceConsumerDeletion(true)).join();
    System.exit(seen.size() == n && ended.size() == 3 ? 0 : 1);
  }

  /** Makes the table as the library would, at once with its index: dynalite cannot add one later. */
  static void createLeaseTable(DynamoDbAsyncClient dynamo, String name) {
    dynamo.createTable(
        r -> r.tableName(name)
            .attributeDefinitions(
                AttributeDefinition.builder().attributeName("leaseKey").attributeType(ScalarAttributeType.S).build(),
                AttributeDefinition.builder().attributeName("leaseOwner").attributeType(ScalarAttributeType.S).build())
            .keySchema(KeySchemaElement.builder().attributeName("leaseKey").keyType(KeyType.HASH).build())
            .provisionedThroughput(t -> t.readCapacityUnits(100L).writeCapacityUnits(100L))
            .globalSecondaryIndexes(
                i -> i.indexName("LeaseOwnerToLeaseKeyIndex")
                    .keySchema(
                        KeySchemaElement.builder().attributeName("leaseOwner").keyType(KeyType.HASH).build(),
                        KeySchemaElement.builder().attributeName("leaseKey").keyType(KeyType.RANGE).build())
                    .projection(p -> p.projectionType(ProjectionType.KEYS_ONLY))
                    .provisionedThroughput(t -> t.readCapacityUnits(100L).writeCapacityUnits(100L)))).join();
    dynamo.waiter().waitUntilTableExists(r -> r.tableName(name)).join();
  }

  static void put(KinesisAsyncClient kinesis, String stream, int n) {
    kinesis.putRecord(r -> r.streamName(stream).partitionKey("record " + n).data(SdkBytes.fromUtf8String("x"))).join();
  }
}
