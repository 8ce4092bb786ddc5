package channel

import (
	"context"
	"time"
)

type sessionKey struct{}

// AfterReply runs an action once the reply to the call of ctx has been written to the host, or after the limit. For
// actions that end the machine; the call returns at once.
func AfterReply(ctx context.Context, limit time.Duration, action func()) {
	conn, _ := ctx.Value(sessionKey{}).(*sessionConn)
	if conn == nil {
		go action()
		return
	}
	before := conn.writes.Load()
	go func() {
		conn.waitQuiet(before, limit)
		action()
	}()
}

// A reply is a few frames, written one after the other. When nothing has followed for this long it is complete.
const quietTime = 20 * time.Millisecond

func (c *sessionConn) waitQuiet(before uint64, limit time.Duration) {
	deadline := time.Now().Add(limit)
	last := before
	for time.Now().Before(deadline) && !c.closed.Load() {
		time.Sleep(quietTime)
		now := c.writes.Load()
		if now != before && now == last {
			return
		}
		last = now
	}
}
