// Package lake writes normalized events into the lake, each exactly once: the
// Parquet files, the protocol that commits them (one row of coord decides,
// staged objects are published afterwards), the archive of raw events and the
// dead letters that belong to a commit.
//
// The rules of the files are those of Amazon Security Lake's custom sources;
// the layout of the folder is the same. It does not read streams, does not
// normalize, and does not query what it wrote.
package lake
