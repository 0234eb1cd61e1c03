package flowlog

import "strings"

// names are the fields of flow logs: of VPCs in versions 2 to 10, and of
// transit gateways (6).
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
// https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html
const names = `
version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr
region az-id sublocation-type sublocation-id
pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path
ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id
ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id
reject-reason resource-id encryption-status
resource-type tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id tgw-src-vpc-id tgw-dst-vpc-id
tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id tgw-pair-attachment-id
packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired`

// others are the names that copies in JSON use.
var others = map[string]string{
	"account": "account_id", "status": "log_status", "traffictype": "type",
	"srcip": "srcaddr", "dstip": "dstaddr", "sourceaddress": "srcaddr", "destinationaddress": "dstaddr",
	"sourceport": "srcport", "destinationport": "dstport", "starttime": "start", "endtime": "end",
}

// exact holds the names as AWS writes them, with hyphens or underscores; spelt
// has them without either, in lower case, and says ours.
var exact, spelt = spellings()

// maxName is longer than any name.
const maxName = 64

func spellings() (exact map[string]bool, spelt map[string]string) {
	exact, spelt = map[string]bool{}, map[string]string{}
	for n := range strings.FieldsSeq(names) {
		ours := strings.ReplaceAll(n, "-", "_")
		exact[n], exact[ours] = true, true
		spelt[strings.ReplaceAll(n, "-", "")] = ours
	}
	return exact, spelt
}

// known says whether a field of a row is the name of a field.
func known(f []byte) bool { return exact[string(f)] }

// separators are what names of fields are written with and without.
var separators = strings.NewReplacer("-", "", "_", "", " ", "")

// canonical is our name of a field that may be called accountId or account-id.
// A name that we do not know stays as it is.
func canonical(name string) string {
	if len(name) > maxName {
		return name
	}
	key := strings.ToLower(separators.Replace(name))
	if ours, ok := spelt[key]; ok {
		return ours
	}
	if ours, ok := others[key]; ok {
		return ours
	}
	return name
}
