package kinesisd

import (
	"context"
	"unicode/utf8"
)

// StartStreamEncryption declares a stream encrypted: descriptions, records and
// answers to puts say so. Nothing is encrypted, and any key exists.
//
// Heeded: StreamName, StreamARN, EncryptionType, KeyId.
type encryptionInput struct {
	streamRef
	EncryptionType string
	KeyId          string
}

func (s *Server) startStreamEncryption(ctx context.Context, in *encryptionInput) (*empty, error) {
	return s.setEncryption(ctx, in, in.KeyId)
}

func (s *Server) setEncryption(ctx context.Context, in *encryptionInput, key string) (*empty, error) {
	var v violations
	v.must(in.EncryptionType == "KMS", in.EncryptionType, "encryptionType", "satisfy enum value set: [KMS]")
	n := utf8.RuneCountInString(in.KeyId)
	v.must(n >= 1, in.KeyId, "keyId", "have length greater than or equal to 1")
	v.must(n <= 2048, in.KeyId, "keyId", "have length less than or equal to 2048")
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		return s.changeStream(in.streamRef, func(_ *stream, set *settings) error {
			set.KeyID = key
			return nil
		})
	})
}
