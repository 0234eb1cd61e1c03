import com.google.common.util.concurrent.ListenableFuture;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.net.URI;
import java.util.*;
import java.util.concurrent.*;
import software.amazon.awssdk.auth.credentials.*;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.kinesis.producer.*;
import software.amazon.kinesis.retrieval.*;

/**
 * Produces to a Kinesis with Amazon's producer library: Kpl KINESIS-URL TLS-PORT.
 *
 * <p>The library's own process batches and aggregates; it speaks HTTPS only. Every record must be
 * there when the library says so. The exit code is 1 when some are not.
 */
public class Kpl {
  public static void main(String[] args) throws Exception {
    var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("any", "any"));
    var kinesis =
        KinesisAsyncClient.builder().endpointOverride(URI.create(args[0])).region(Region.US_EAST_1).credentialsProvider(credentials).build();
    String name = "nagare-kpl-" + UUID.randomUUID().toString().substring(0, 12);
    kinesis.createStream(r -> r.streamName(name).shardCount(2)).join();
    kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name)).join();
    var producer =
        new KinesisProducer(
            new KinesisProducerConfiguration()
                .setKinesisEndpoint("127.0.0.1").setKinesisPort(Long.parseLong(args[1])).setVerifyCertificate(false)
                .setRegion("us-east-1").setCredentialsProvider(credentials).setMetricsLevel("none").setRecordMaxBufferedTime(100));
    int n = 20_000;
    List<ListenableFuture<UserRecordResult>> puts = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      puts.add(producer.addUserRecord(name, "record " + i, ByteBuffer.wrap(("data " + i).getBytes(StandardCharsets.UTF_8))));
    }
    producer.flush();
    int said = 0;
    for (var put : puts) {
      if (put.get(60, TimeUnit.SECONDS).isSuccessful()) {
        said++;
      }
    }
    Set<String> found = new HashSet<>();
    int records = 0;
    for (Shard shard : kinesis.listShards(r -> r.streamName(name)).join().shards()) {
      String it = kinesis.getShardIterator(r -> r.streamName(name).shardId(shard.shardId()).shardIteratorType(ShardIteratorType.TRIM_HORIZON)).join().shardIterator();
      while (true) {
        String at = it;
        GetRecordsResponse out = kinesis.getRecords(r -> r.shardIterator(at)).join();
        records += out.records().size();
        List<KinesisClientRecord> plain = new ArrayList<>();
        out.records().forEach(r -> plain.add(KinesisClientRecord.fromRecord(r)));
        for (var r : new AggregatorUtil().deaggregate(plain)) {
          String data = StandardCharsets.UTF_8.decode(r.data()).toString();
          if (data.equals("data " + r.partitionKey().substring("record ".length()))) {
            found.add(r.partitionKey());
          }
        }
        it = out.nextShardIterator();
        if (out.millisBehindLatest() == 0) {
          break;
        }
      }
    }
    producer.destroy();
    kinesis.deleteStream(r -> r.streamName(name)).join();
    System.out.printf("KPL: %d of %d records put, %d found in %d records of the stream%n", said, n, found.size(), records);
    System.exit(said == n && found.size() == n ? 0 : 1);
  }
}
