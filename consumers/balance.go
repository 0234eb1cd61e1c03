package consumers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// listed are the shards of the stream, for the group.
func (r *runner) listed(ctx context.Context) (map[string]shardInfo, error) {
	_, shards, err := r.topology.get(ctx, topologyAge)
	return shards, err
}

// mine is how many shards this worker reads and means to go on with.
func (r *runner) mine() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if !s.isLeaving() {
			n++
		}
	}
	return n
}

func (r *runner) mayTake(shard string) bool {
	shards, err := r.listed(r.ctx)
	return err == nil && r.group.mayTake(shard, shards, r.mine())
}

// balance tells the other workers of this one, and gives shards up when it has
// more than its share. A worker that cannot list the shards is not counted as
// one: it could take none.
func (r *runner) balance(ctx context.Context) {
	tick := time.NewTicker(r.group.pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		shards, err := r.listed(ctx)
		if err == nil {
			err = r.group.meet(ctx)
		}
		if err == nil {
			_, err = r.group.view(ctx)
		}
		if err == nil {
			err = r.group.restore(ctx)
		}
		r.trouble("look at the other workers", err)
		if err != nil {
			var notFound *types.ResourceNotFoundException
			if errors.As(err, &notFound) {
				r.look()
			}
			continue
		}
		r.cfg.Monitor.setUnread(r.group.unread())
		if r.leases.sole {
			continue
		}
		if n := r.group.excess(shards, r.mine()); n > 0 {
			r.giveUp(n)
		}
	}
}

// giveUp ends the n youngest sessions: they have the least to flush.
func (r *runner) giveUp(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*session
	for _, s := range r.sessions {
		if !s.isLeaving() {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *session) int { return b.since.Compare(a.since) })
	for _, s := range all[:min(n, len(all))] {
		r.log.Info("giving a shard up to another worker", "shard", s.shard.ID, "epoch", s.shard.Epoch)
		s.leave()
	}
}

// leave takes this worker off the list, so that the others need not wait to
// see that it is gone.
func (r *runner) leave() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), time.Second)
	defer cancel()
	if err := r.group.leave(ctx); err != nil {
		r.log.Warn("the list of workers still has this one", "err", err)
	}
}
