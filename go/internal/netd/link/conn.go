package link

import (
	"errors"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Buffers of a TCP connection in each direction. How many connections may have large ones is bounded, so that a guest which opens
// thousands and reads from none holds no more than some hundred megabytes.
const (
	maxBuffer     = 4 << 20
	defaultBuffer = 256 << 10
	smallBuffer   = 32 << 10

	largeUpTo   = 16
	defaultUpTo = 128
)

// Conn is a TCP connection with the guest.
type Conn struct {
	*gonet.TCPConn
	endpoint tcpip.Endpoint
	queue    *waiter.Queue
}

// Accept finishes the handshake with the guest. Open is how many connections there are: it decides about the size of buffers.
func Accept(request *tcp.ForwarderRequest, open int) (*Conn, error) {
	queue := &waiter.Queue{}
	endpoint, failure := request.CreateEndpoint(queue)
	if failure != nil {
		request.Complete(true)
		return nil, errors.New(failure.String())
	}
	request.Complete(false)
	options := endpoint.SocketOptions()
	options.SetDelayOption(false)
	// A size that was set is not tuned any more: the receive buffer of the first ones may grow to the maximum by itself.
	switch {
	case open <= largeUpTo:
		options.SetSendBufferSize(maxBuffer, true)
	case open <= defaultUpTo:
		options.SetSendBufferSize(defaultBuffer, true)
		options.SetReceiveBufferSize(defaultBuffer, true)
	default:
		options.SetSendBufferSize(smallBuffer, true)
		options.SetReceiveBufferSize(smallBuffer, true)
	}
	return &Conn{gonet.NewTCPConn(queue, endpoint), endpoint, queue}, nil
}

// WaitReadable returns when a read would not block: data, the end, or an error is there.
func (c *Conn) WaitReadable() {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	c.queue.EventRegister(&entry)
	defer c.queue.EventUnregister(&entry)
	for c.endpoint.Readiness(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
		<-ready
	}
}

// Abort resets the connection at once.
func (c *Conn) Abort() { c.endpoint.Abort() }
