package lake

import (
	"context"
	"fmt"
)

// ahead refuses a ledger row that is behind what is staged. Under number N of
// the stage lies only what was staged when the row was at N, so a higher
// number than the row's says that the row went back.
func (c *Committer) ahead(ctx context.Context) error {
	for {
		prefix := stagePrefix(c.cfg.App, c.cfg.Stream, c.cfg.Shard)
		found, err := c.cfg.Stage.List(ctx, prefix, fmt.Sprintf("%s%012d", prefix, c.item.N+1), 1)
		if err != nil {
			return fmt.Errorf("lake: stage of %s: %w", c.cfg.Shard, err)
		}
		if len(found) == 0 {
			return nil
		}
		_, _, _, n, _, ok := stageOf(found[0].Key)
		if !ok {
			return fmt.Errorf("lake: %s in the stage is not of ours: move it elsewhere", found[0].Key)
		}
		// Another worker may have committed, and staged this, since we read the
		// row; then the row says so now.
		c.known = false
		if err := c.settle(ctx); err != nil {
			return err
		}
		if c.item.N < n {
			return fmt.Errorf("lake: %w: the row is at commit %d, and there is %s: %s", ErrLedgerBehind, c.item.N, found[0].Key, howToRebuild)
		}
	}
}
