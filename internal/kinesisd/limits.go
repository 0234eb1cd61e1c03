package kinesisd

import "time"

// Limits of the Kinesis API as AWS documents them in 2026. A record may be
// 1 MiB with its partition key unless its stream was made with a larger
// MaxRecordSizeInKiB.
const (
	maxRecordBytes      = 1 << 20  // default for one record, key included
	maxLargeRecordBytes = 10 << 20 // the most a stream may be set to
	maxPutRecords       = 500      // records in one PutRecords
	maxPutBytes         = 10 << 20 // one PutRecords, keys included
	maxPartitionKey     = 256      // characters
	maxReadRecords      = 10_000   // records in one GetRecords
	maxReadBytes        = 10 << 20 // data of one GetRecords
	maxConsumers        = 20       // registered with one stream
	maxShards           = 500      // open shards of one stream, the usual quota
	maxOnDemandStreams  = 50
	maxRetentionHours   = 8760
	minRetentionHours   = 24
)

// Limits of this server.
const (
	// maxPutBody is a full PutRecords in JSON: base64 adds a third, and the
	// escapes of 500 partition keys need room.
	maxPutBody = 16 << 20
	// maxOtherBody is for every other call.
	maxOtherBody = 64 << 10
	// maxBodiesInMemory bounds the request bodies being read or worked on,
	// with what is decoded from them; more of them wait.
	maxBodiesInMemory = 64 << 20
	// maxCallInMemory is what one call may need of it: a whole body, and as
	// much again of what is decoded from it.
	maxCallInMemory = 2 * maxPutBody
	// maxPagesInMemory bounds the records being read from disk for answers;
	// more reads wait.
	maxPagesInMemory = 64 << 20
	// maxBodyValues bounds the values and names in a body; 500 records of a
	// PutRecords have 4,000. A value of two bytes costs fifty when decoded.
	maxBodyValues = 10_000
	// maxEventBytes is the data of one event of a subscription, unless a
	// single record is larger.
	maxEventBytes = 1 << 20
	// answerAfter is waited before the answer to SubscribeToShard begins.
	answerAfter = 3 * time.Millisecond
	// writeTimeout is for a client to take an answer, or an event of a
	// subscription.
	writeTimeout = 30 * time.Second
	// bodyReadTimeout is for a client to send a body.
	bodyReadTimeout = 30 * time.Second
	// maxDiscard and discardTimeout bound what is read of a body only so that
	// its sender comes to read why it is refused.
	maxDiscard     = 64 << 20
	discardTimeout = 10 * time.Second
	// maxHoursPerRead bounds the files one read looks through. A read that
	// found nothing in them answers without records but further on.
	maxHoursPerRead = 32
)

// Throughput of a shard, enforced with Config.Limits.
const (
	shardBytesIn   = 1 << 20
	shardRecordsIn = 1000
	shardBytesOut  = 2 << 20
	shardReadsOut  = 5
)
