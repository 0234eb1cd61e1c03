package producers

import "github.com/aws/aws-sdk-go-v2/service/kinesis/types"

// InRange says whether a hash belongs to a shard.
func InRange(r *types.HashKeyRange, k [16]byte) bool {
	first, _ := parseHashKey(*r.StartingHashKey)
	last, _ := parseHashKey(*r.EndingHashKey)
	return span{first, last}.holds(k)
}
