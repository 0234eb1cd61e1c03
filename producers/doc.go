// Package producers takes deliveries in and puts their events on a stream.
//
// Intake reads what a sender handed over (a webhook's body, a mail, a file),
// bounded in size, depth and memory, and makes events of it. What it cannot
// read becomes an event too, with a reason, and ends as a dead letter: a
// sender who was authenticated is never refused for what he sent.
//
// Writer puts events on a stream, in compressed frames, and answers once they
// are durable there.
//
// The package does not know what a source's fields mean: a mapping's head
// says where one event ends and the next begins, what its id and time are. It
// opens no ports and authenticates nobody; its rooms webhook, mail, upload,
// datadog and flowlog do what is particular to a kind of sender.
package producers
