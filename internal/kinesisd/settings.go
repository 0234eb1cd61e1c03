package kinesisd

import (
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
)

// settings is what is kept of a stream because a client declared it, and told
// back when asked. None of it changes what the server does with records. A
// settings value is never changed, only replaced.
type settings struct {
	KeyID        string   `json:"key,omitempty"`          // of StartStreamEncryption; empty is no encryption
	Metrics      []string `json:"metrics,omitempty"`      // shard-level, in order of their names
	WarmMiBps    int      `json:"warm,omitempty"`         // throughput to be ready for
	Distribution string   `json:"distribution,omitempty"` // of records over shards; empty is by partition key
}

// attached is what hangs on a stream or a consumer. It is never changed, only
// replaced.
type attached struct {
	Tags   map[string]string `json:"tags,omitempty"`
	Policy string            `json:"policy,omitempty"`
}

// changeStream changes what is stored of a stream beside its shards. f gets a
// copy and may refuse.
func (s *Server) changeStream(ref streamRef, f func(st *stream, set *settings) error) error {
	st, err := s.find(ref)
	if err != nil {
		return err
	}
	changed := *st
	if err := f(&changed, &changed.settings); err != nil {
		return err
	}
	text, err := json.Marshal(changed.settings)
	if err != nil {
		return err
	}
	err = s.meta.change(func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE streams SET settings = ?, max_record = ?, on_demand = ? WHERE id = ?`, string(text), changed.maxRecord, changed.onDemand, st.id)
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.settings, st.maxRecord, st.onDemand = changed.settings, changed.maxRecord, changed.onDemand
	return nil
}

// resource is a stream, or one of its consumers, as ARNs name them.
type resource struct {
	stream   *stream
	consumer *consumer // nil is the stream itself
}

// findResource resolves an ARN. The caller holds Server.mu or is the writer.
func (s *Server) findResource(arn string) (resource, error) {
	name, rest, ok := splitARN(arn)
	if !ok {
		return resource{}, errorf(validation, "1 validation error detected: Value '%s' at 'resourceARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:.*stream/\\S+", clip(arn))
	}
	if rest == "" {
		st, err := s.find(streamRef{StreamName: name})
		return resource{stream: st}, err
	}
	st, c, err := s.findConsumer(consumerRef{ConsumerARN: arn})
	return resource{st, c}, err
}

func (r resource) attached() *attached {
	if r.consumer != nil {
		return &r.consumer.attached
	}
	return &r.stream.attached
}

// changeAttached changes what hangs on a resource. f gets a copy and may
// refuse. Only the writer calls it.
func (s *Server) changeAttached(r resource, f func(*attached) error) error {
	changed := *r.attached()
	changed.Tags = maps.Clone(changed.Tags)
	if err := f(&changed); err != nil {
		return err
	}
	name := ""
	if r.consumer != nil {
		name = r.consumer.name
	}
	if err := s.meta.change(func(tx *sql.Tx) error { return storeAttached(tx, r.stream.id, name, changed) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*r.attached() = changed
	return nil
}

func storeAttached(tx *sql.Tx, stream int64, consumer string, a attached) error {
	if len(a.Tags) == 0 && a.Policy == "" {
		_, err := tx.Exec(`DELETE FROM attached WHERE stream = ? AND consumer = ?`, stream, consumer)
		return err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO attached (stream, consumer, value) VALUES (?,?,?) ON CONFLICT DO UPDATE SET value = excluded.value`, stream, consumer, string(text))
	return err
}

// encryption is what answers say about a stream.
func (s *Server) encryption(st *stream) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return st.encryption()
}

func (st *stream) encryption() string {
	if st.KeyID != "" {
		return "KMS"
	}
	return "NONE"
}

// recordEncryption is what records say, which is nothing without encryption.
// They say what holds for their stream now, not when they were put.
func (s *Server) recordEncryption(st *stream) string {
	if e := s.encryption(st); e != "NONE" {
		return e
	}
	return ""
}

type metricsShape struct{ ShardLevelMetrics []string }

func (st *stream) monitoring() []metricsShape {
	return []metricsShape{{append([]string{}, st.Metrics...)}}
}

func (st *stream) distribution() string {
	if st.Distribution == "" {
		return "USER_PARTITION_KEY"
	}
	return st.Distribution
}

type warmShape struct{ CurrentMiBps, TargetMiBps int }

func (st *stream) warm() *warmShape {
	if st.WarmMiBps == 0 {
		return nil
	}
	return &warmShape{st.WarmMiBps, st.WarmMiBps}
}

type tagShape struct{ Key, Value string }

func tagShapes(tags map[string]string) []tagShape {
	out := []tagShape{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tagShape{key, tags[key]})
	}
	return out
}
