package channel

import "net"

// connLink is a connected socket as a Link: it lives as long as its one host.
type connLink struct{ net.Conn }

// ConnLink makes a Link of a connection; Serve on it ends when the peer has gone.
func ConnLink(conn net.Conn) Link { return connLink{conn} }

func (l connLink) ReadNext(p []byte) (int, error) { return l.Read(p) }
