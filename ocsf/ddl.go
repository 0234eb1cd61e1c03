package ocsf

import (
	"fmt"
	"strings"
)

// A Place is where the objects of a table are, for DDL.
type Place struct {
	// Location is the folder above region=…, as s3://bucket/ext/name/.
	Location string
	// Regions and Accounts are the values of the first two partitions.
	Regions, Accounts []string
}

// DDL is the statement that makes a class's table in Athena's catalog, over
// objects as Security Lake wants them laid out. Partitions are projected: the
// folders have capital letters in their names, which MSCK REPAIR does not find.
func (s *Schema) DDL(c *Class, at Place) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE EXTERNAL TABLE IF NOT EXISTS `nagare_%d` (\n", c.UID)
	columns := s.Columns(c)
	for i, col := range columns {
		comma := ","
		if i == len(columns)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "  `%s` %s%s\n", col.Name, col.HiveType(), comma)
	}
	location := strings.TrimSuffix(at.Location, "/")
	fmt.Fprintf(&b, ")\nCOMMENT '%s, OCSF %s'\n", strings.ReplaceAll(c.Caption, "'", "''"), s.Version)
	b.WriteString("PARTITIONED BY (`region` string, `accountId` string, `eventDay` string)\nSTORED AS PARQUET\n")
	fmt.Fprintf(&b, "LOCATION '%s/'\nTBLPROPERTIES (\n", location)
	for _, p := range [][2]string{
		{"parquet.compression", "ZSTD"},
		{"projection.enabled", "true"},
		{"projection.region.type", "enum"}, {"projection.region.values", strings.Join(at.Regions, ",")},
		{"projection.accountid.type", "enum"}, {"projection.accountid.values", strings.Join(at.Accounts, ",")},
		{"projection.eventday.type", "date"}, {"projection.eventday.format", "yyyyMMdd"}, {"projection.eventday.range", "20200101,NOW+1DAY"},
		{"projection.eventday.interval", "1"}, {"projection.eventday.interval.unit", "DAYS"},
	} {
		fmt.Fprintf(&b, "  '%s' = '%s',\n", p[0], p[1])
	}
	fmt.Fprintf(&b, "  'storage.location.template' = '%s/region=${region}/accountId=${accountid}/eventDay=${eventday}/'\n);\n", location)
	return b.String()
}

// HiveType is the column's type as Glue and Athena's DDL write it.
func (c *Column) HiveType() string {
	switch c.Type {
	case ColBool:
		return "boolean"
	case ColInt32:
		return "int"
	case ColInt64:
		return "bigint"
	case ColDouble:
		return "double"
	case ColTimestamp:
		return "timestamp"
	case ColMap:
		return "map<string,string>"
	case ColList:
		return "array<" + c.Fields[0].HiveType() + ">"
	case ColGroup:
		parts := make([]string, len(c.Fields))
		for i, f := range c.Fields {
			// Quoted, for some are words of the language: from, to, group.
			parts[i] = "`" + f.Name + "`:" + f.HiveType()
		}
		return "struct<" + strings.Join(parts, ",") + ">"
	}
	return "string"
}
