package kinesisd

import "context"

// StopStreamEncryption declares a stream no longer encrypted. As on AWS it is
// no mistake when it was not.
//
// Heeded: StreamName, StreamARN, EncryptionType, KeyId (which must be there,
// and may be any).
func (s *Server) stopStreamEncryption(ctx context.Context, in *encryptionInput) (*empty, error) {
	return s.setEncryption(ctx, in, "")
}
