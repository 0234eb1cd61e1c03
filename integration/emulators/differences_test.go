package emulators

// difference is what an emulator is known to do otherwise than AWS.
type difference struct {
	test string // of kinesistest; "X*" is every test whose name begins so
	aws  string // what AWS does
	here string // what the emulator does
	says string // a part of what the test says about it
	skip bool   // the test is not run, since it would break the others
	late bool   // it shows only if the emulator is fast, or slow, enough
}

const (
	kept     = "is not told"
	unknown  = "UnknownOperationException"
	byName   = "Member must not be null"
	children = "children at the end"
)

// kinesalite is written after the answers of AWS as of 2018, and knows the
// calls of that time.
var kinesalite = []difference{
	{test: "Split", aws: "names the children at the end of a shard", here: "does not", says: children},
	{test: "Split", aws: "refuses to split a closed shard", here: "splits it again", says: "got error <nil>, want InvalidArgumentException"},
	{test: "Merge", aws: "names the children at the end of a shard", here: "does not", says: children},
	{test: "UpdateShardCount", aws: "knows the call", here: "does not", says: unknown},
	{test: "ListShards", aws: "filters shards", here: "lists all", says: "(-want +got)"},
	{test: "ListShardsInPages", aws: "lists in pages", here: "lists all", says: "1 pages of 3 for 4 shards"},
	{test: "ListShardsMadeUpToken", aws: "refuses a token it did not give", here: "ends its process", skip: true},
	{test: "ListShardsByARN", aws: "takes ARNs", here: "wants names", says: "Either NextToken or StreamName should be provided"},
	{test: "Describe", aws: "tells the mode of a stream", here: "does not", says: kept},
	{test: "DescribeByARN", aws: "takes ARNs", here: "wants names", says: byName},
	{test: "StreamSummaries", aws: "summarises streams in ListStreams, and gives a token", here: "does not", says: "no token"},
	{test: "TagsWithCreate", aws: "takes tags as it makes a stream", here: "ignores them", says: "tags (-want +got)"},
	{test: "TagResource", aws: "knows consumers and tags by ARN", here: "does not", says: unknown},
	{test: "Monitoring", aws: "knows the call", here: "does not", says: unknown},
	{test: "Encryption", aws: "knows the call", here: "does not", says: unknown},
	{test: "StreamMode", aws: "knows the call", here: "does not", says: unknown},
	{test: "MaxRecordSize", aws: "knows the call", here: "does not", says: unknown},
	{test: "Policy", aws: "knows the call", here: "does not", says: unknown},
	{test: "Limits", aws: "knows the call", here: "does not", says: unknown},
	{test: "Account", aws: "knows the call", here: "does not", says: unknown},
	{test: "Consumers", aws: "knows consumers", here: "does not", says: unknown},
	{test: "Subscribe*", aws: "knows consumers", here: "does not", says: unknown},
	{test: "Errors/records_too_large_together", aws: "takes bodies of 10 MiB of records", here: "takes 7 MiB", says: "StatusCode: 413"},
}

// kinesisLocal knows nearly every call, and is less strict.
var kinesisLocal = []difference{
	{test: "Split", aws: "ends a shard at a number behind its last record", here: "ends each at the same small number", says: "the parent ends at"},
	{test: "Split", aws: "refuses a closed shard as an invalid argument", here: "as a resource in use", says: "want InvalidArgumentException"},
	{test: "UpdateShardCount", aws: "gives every shard an equal range", here: "splits and merges some", says: "wider than its share"},
	{test: "UpdateShardCount", aws: "makes as many shards as it was asked for", here: "not always", says: "open shards, want"},
	{test: "ListShards", aws: "knows which shards were open at a time", here: "lists later ones too", says: "(-want +got)"},
	{test: "StreamSummaries", aws: "gives a token to go on", here: "does not", says: "no token"},
	{test: "Tags", aws: "words a long key as a validation error", here: "as an invalid argument", says: "want ValidationException"},
	{test: "StreamMode", aws: "splits no shard of a stream ON_DEMAND", here: "does", says: "got error <nil>, want ValidationException"},
	{test: "StreamMode", aws: "says so in a validation error", here: "the split is under way", says: "is not currently ACTIVE", late: true},
	{test: "StreamMode", aws: "leaves the shards alone", here: "the split has happened", says: " shards", late: true},
	{test: "MaxRecordSize", aws: "words a large record as a validation error", here: "as an invalid argument, and takes ten seconds over it", skip: true},
	{test: "Account", aws: "has account settings", here: "answers nothing", says: "settings are <nil>"},
	{test: "Consumers", aws: "lists every consumer over the pages", here: "leaves some out", says: "consumers (-want +got)"},
	{test: "Subscribe*", aws: "begins a subscription with an initial-response", here: "with an event, so that the SDK gives up", says: "expected initial-response"},
	{test: "Errors/bad_stream_name", aws: "validation error", here: "invalid argument", says: "contains invalid characters"},
	{test: "Errors/sequence_number_of_elsewhere", aws: "refuses it", here: "takes it", says: "got error <nil>"},
	{test: "Errors/time_to_come", aws: "refuses it", here: "takes it", says: "got error <nil>"},
	{test: "Errors/made-up_iterator", aws: "invalid argument", here: "server error", says: "StatusCode: 500"},
	{test: "Errors/limit_too_large", aws: "validation error", here: "invalid argument", says: "Limit must be between"},
	{test: "Errors/partition_key_*", aws: "validation error", here: "invalid argument", says: "Partition key must be between"},
	{test: "Errors/record_too_large", aws: "validation error", here: "invalid argument", says: "InvalidArgumentException: Record data size"},
	{test: "Errors/no_records", aws: "refuses it", here: "takes it", says: "got error <nil>"},
	{test: "Errors/too_many_records", aws: "refuses it", here: "takes it", says: "got error <nil>"},
	{test: "Errors/records_too_large_together", aws: "refuses it", here: "takes it, in ten seconds", skip: true},
	{test: "Errors/split_at_the_edge", aws: "refuses it", here: "splits", says: "got error <nil>"},
}
