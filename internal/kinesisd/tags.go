package kinesisd

import (
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rules of tags, on streams and consumers alike.
const (
	maxTags     = 50
	maxTagKey   = 128 // characters
	maxTagValue = 256 // characters
)

// tags checks tags that come with a call.
func (v *violations) tags(tags map[string]string, least int, field string) {
	v.must(len(tags) >= least, tags, field, "have length greater than or equal to %d", least)
	v.must(len(tags) <= 200, "{…}", field, "have length less than or equal to 200")
	for key, value := range tags {
		n := utf8.RuneCountInString(key)
		v.must(n >= 1 && n <= maxTagKey, key, field, "have keys of 1 to %d characters", maxTagKey)
		v.must(utf8.RuneCountInString(value) <= maxTagValue, value, field+"."+clip(key), "have length less than or equal to %d", maxTagValue)
		if len(*v) >= 10 { // AWS stops there too
			return
		}
	}
}

// tagKeys checks the names of tags to take away.
func (v *violations) tagKeys(keys []string) {
	v.must(len(keys) >= 1, keys, "tagKeys", "have length greater than or equal to 1")
	v.must(len(keys) <= maxTags, "[…]", "tagKeys", "have length less than or equal to %d", maxTags)
	for _, key := range keys {
		n := utf8.RuneCountInString(key)
		v.must(n >= 1 && n <= maxTagKey, key, "tagKeys", "have members of 1 to %d characters", maxTagKey)
		if len(*v) >= 10 {
			return
		}
	}
}

// addTags is the change that adds tags, or replaces those of the same key.
func addTags(tags map[string]string) func(*attached) error {
	return func(a *attached) error {
		for key, value := range tags {
			if !tagText(key) || !tagText(value) {
				return errorf(invalidArgument, "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . : / = + - %% @.")
			}
		}
		if a.Tags == nil {
			a.Tags = map[string]string{}
		}
		maps.Copy(a.Tags, tags)
		if len(a.Tags) > maxTags {
			return errorf(invalidArgument, "Failed to add tags under account 000000000000 because a given resource cannot have more than %d tags associated with it.", maxTags)
		}
		return nil
	}
}

// removeTags is the change that takes tags away. One that is not there is no
// mistake.
func removeTags(keys []string) func(*attached) error {
	return func(a *attached) error {
		for _, key := range keys {
			delete(a.Tags, key)
		}
		return nil
	}
}

func tagText(s string) bool {
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsSpace(c) && !strings.ContainsRune("_.:/=+-@", c) {
			return false
		}
	}
	return utf8.ValidString(s)
}
