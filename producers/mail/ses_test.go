package mail

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"nagare/producers"
)

// received is a notification of SES, with verdicts and, perhaps, the mail.
func received(verdict, dmarc, action, headers, content string) string {
	return fmt.Sprintf(`{"notificationType":"Received","receipt":{"timestamp":"2026-07-01T01:02:03.004Z","recipients":["Alerts@in.example.com"],
"spamVerdict":{"status":"PASS"},"virusVerdict":{"status":"PASS"},"spfVerdict":{"status":"PASS"},"dkimVerdict":{"status":%q},"dmarcVerdict":{"status":%q},"action":%s},
"mail":{"timestamp":"2026-07-01T01:02:02.430Z","source":"bounce@example.com","messageId":"ses-1","destination":["alerts@in.example.com"],"headersTruncated":false,"headers":[%s],
"commonHeaders":{"from":["セキュリティ <no-reply@example.com>"],"date":"Wed, 1 Jul 2026 01:02:01 +0000","to":["alerts@in.example.com"],"messageId":"<m1@example.com>","subject":"新しいサインイン"}},"content":%s}`,
		verdict, dmarc, action, headers, strconv.Quote(content))
}

func layer(key, inner string) string {
	b, _ := json.Marshal(map[string]string{"Type": "Notification", key: inner})
	return string(b)
}

func readAll(t *testing.T, body string) (mails []Mail, items []producers.Item) {
	t.Helper()
	a := Adapter()
	in := producers.Input{Body: []byte(body)}
	if !a.Wants(in) {
		t.Fatalf("not wanted: %.200s", body)
	}
	if err := a.Read(t.Context(), in, func(i producers.Item) error { items = append(items, i); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		var m Mail
		if i.Reason == "" {
			if err := json.Unmarshal(i.Body, &m); err != nil {
				t.Fatal(err)
			}
		}
		mails = append(mails, m)
	}
	return mails, items
}

func TestSES(t *testing.T) {
	const s3 = `{"type":"S3","bucketName":"mail-in","objectKey":"raw/ses-1"}`
	mail := "From: Example <no-reply@example.com>\r\nSubject: New sign-in\r\n\r\nUser: sato@example.co.jp\r\n"
	for name, wrap := range map[string]func(string) string{
		"SES":           func(s string) string { return s },
		"SNS":           func(s string) string { return layer("Message", s) },
		"SQS, SNS":      func(s string) string { return layer("Body", layer("Message", s)) },
		"SQS answer":    func(s string) string { return `{"Messages":[` + layer("Body", layer("Message", s)) + `]}` },
		"Lambda of SQS": func(s string) string { return `{"Records":[` + layer("body", layer("Message", s)) + `]}` },
		"Lambda of SNS": func(s string) string { return `{"Records":[{"Sns":` + layer("Message", s) + `}]}` },
		"Lambda of SES": func(s string) string { return `{"Records":[{"eventSource":"aws:ses","ses":` + s + `}]}` },
		"list":          func(s string) string { return "[" + s + "]" },
	} {
		mails, _ := readAll(t, wrap(received("PASS", "PASS", s3, "", "")))
		if len(mails) != 1 || mails[0].SES == nil || mails[0].SES.Bucket != "mail-in" || mails[0].Subject != "新しいサインイン" || mails[0].From != "no-reply@example.com" ||
			mails[0].Auth.AlignedDomain != "example.com" || mails[0].RawSHA256 != "" || mails[0].Date != "2026-07-01T01:02:01Z" || mails[0].MessageID != "m1@example.com" || len(mails[0].Problems) != 0 {
			t.Errorf("%s without content: %+v", name, mails)
		}
		mails, items := readAll(t, wrap(received("PASS", "PASS", `{"type":"SNS"}`, "", mail)))
		if len(mails) != 1 || mails[0].Text == "" || mails[0].Subject != "New sign-in" || items[0].UID == "" || mails[0].SES.MessageID != "ses-1" || len(mails[0].Fields) != 1 {
			t.Errorf("%s with content: %+v", name, mails)
		}
	}
	mails, _ := readAll(t, received("PASS", "PASS", `{"type":"SNS","encoding":"BASE64"}`, "", base64.StdEncoding.EncodeToString([]byte(mail))))
	if len(mails) != 1 || mails[0].Subject != "New sign-in" {
		t.Errorf("base64: %+v", mails)
	}
}

// TestAligned: a domain is the sender's only when SES says so.
func TestAligned(t *testing.T) {
	header := func(from string, signatures ...string) string {
		h := fmt.Sprintf(`{"name":"From","value":%q}`, from)
		for _, d := range signatures {
			h += fmt.Sprintf(`,{"name":"DKIM-Signature","value":"v=1; a=rsa-sha256; d=%s; s=x"}`, d)
		}
		return h
	}
	for _, tt := range []struct{ dkim, dmarc, headers, want string }{
		{"PASS", "PASS", header("a@example.com"), "example.com"},
		{"FAIL", "FAIL", header("a@example.com", "example.com"), ""},
		{"PASS", "FAIL", header("a@example.com", "example.com"), ""},
		{"PASS", "GRAY", header("a@mail.example.com", "example.com"), "mail.example.com"},
		{"PASS", "GRAY", header("a@example.com", "example.com", "evil.example"), ""},
		{"PASS", "GRAY", header("a@example.com", "evil.example"), ""},
		{"PASS", "GRAY", header("a@example.com", "com"), ""},
		{"PASS", "GRAY", header("a@example.com"), ""},
		{"GRAY", "GRAY", header("a@example.com", "example.com"), ""},
		{"PASS", "PASS", header("a@example.com, b@evil.example"), ""},
		{"PASS", "PASS", header("a@example.com") + `,{"name":"From","value":"b@evil.example"}`, ""},
		{"PASS", "PASS", `{"name":"X","value":"y\r\nFrom: b@evil.example"},` + header("a@example.com"), "example.com"},
	} {
		mails, _ := readAll(t, received(tt.dkim, tt.dmarc, `{"type":"S3"}`, tt.headers, ""))
		if len(mails) != 1 || mails[0].Auth.AlignedDomain != tt.want {
			t.Errorf("dkim %s, dmarc %s, %s: %+v, want %q", tt.dkim, tt.dmarc, tt.headers, mails[0].Auth, tt.want)
		}
	}
}

// TestNotMails: what comes on the same ways.
func TestNotMails(t *testing.T) {
	if mails, _ := readAll(t, received("PASS", "PASS", `{"type":"S3","objectKey":"in/AMAZON_SES_SETUP_NOTIFICATION"}`, "", "")); len(mails) != 0 {
		t.Errorf("the setup object is an event: %+v", mails)
	}
	a := Adapter()
	if err := a.Read(t.Context(), producers.Input{Name: "in/AMAZON_SES_SETUP_NOTIFICATION", Body: []byte("Subject: Amazon SES Setup Notification\r\n\r\nHello")}, func(producers.Item) error {
		t.Error("the setup object is an event")
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, body := range []string{
		`{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.example.com/","Message":"You have chosen"}`,
		`{"notificationType":"Bounce","bounce":{},"mail":{}}`,
		`{"raw_sha256":"x","headers":{},"text":"notificationType"}`,
	} {
		if _, items := readAll(t, body); len(items) != 1 || string(items[0].Body) != body {
			t.Errorf("%s became %s", body, items)
		}
	}
	mails, items := readAll(t, received("PASS", "PASS", `{"type":"S3"}`, "", "")+"\n{\"notificationType\": broken\n"+strings.ReplaceAll(received("PASS", "PASS", `{"type":"S3"}`, "", ""), "\n", ""))
	if len(items) != 3 || items[1].Reason != producers.ReasonNotJSON || mails[2].SES == nil {
		t.Errorf("a damaged line: %+v", items)
	}
}

func TestSESSamples(t *testing.T) {
	for _, name := range []string{"ses_received.jsonl", "sns_envelope.jsonl"} {
		body, err := os.ReadFile("../../../shared/data/ses_notification_synthetic/" + name)
		if err != nil {
			t.Skip(err)
		}
		mails, _ := readAll(t, string(body))
		if len(mails) != 2 || mails[0].Auth.AlignedDomain != "example.com" || mails[1].Auth.AlignedDomain != "" || mails[0].FromName != "セキュリティ" {
			t.Errorf("%s: %+v", name, mails)
		}
	}
}

// FuzzJSON: no panic, JSON comes out, layers are bounded.
func FuzzJSON(f *testing.F) {
	s := received("PASS", "PASS", `{"type":"S3"}`, `{"name":"From","value":"a@example.com"}`, "")
	f.Add([]byte(s))
	f.Add([]byte(layer("Body", layer("Message", s))))
	f.Add([]byte(`{"Records":[{"Sns":{"Message":"{}"}},[1],{"body":"{\"Messages\":[{}]}"}]}`))
	f.Add([]byte("{\"notificationType\": \n{}\n[[[[[[[[[[[[{}]]]]]]]]]]]]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = readJSON(body, func(i producers.Item) error {
			if i.Reason == "" && !json.Valid(i.Body) {
				t.Fatalf("no JSON: %q", i.Body)
			}
			return nil
		})
	})
}
