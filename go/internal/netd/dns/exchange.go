package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	askWithin = 3 * time.Second
	// What fits an Ethernet frame without fragments.
	udpSize = 1232
	tries   = 2
)

// exchange asks the host's name servers one question. Each question has a socket, a port and a number of its own.
func (s *Servers) exchange(ctx context.Context, q dnsmessage.Question) ([]byte, error) {
	servers, err := s.list()
	if err != nil {
		return nil, err
	}
	var last error
	for range tries {
		for _, server := range servers {
			answer, err := ask(ctx, server, q)
			if err == nil {
				return answer, nil
			}
			last = err
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, last
}

func ask(ctx context.Context, server netip.AddrPort, q dnsmessage.Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	answer, err := askOver(ctx, "udp", server, q)
	if err != nil {
		return nil, err
	}
	if answer[2]&2 != 0 { // truncated
		return askOver(ctx, "tcp", server, q)
	}
	return answer, nil
}

func askOver(ctx context.Context, network string, server netip.AddrPort, q dnsmessage.Question) ([]byte, error) {
	query, err := buildQuery(q)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if network == "tcp" {
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
			return nil, err
		}
		answer, err := readPrefixed(conn)
		if err == nil && !matches(answer, query, q) {
			err = errors.New("the answer is to another question")
		}
		return answer, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		// Something else may have been sent to our port: wait for what was asked for.
		if matches(buffer[:n], query, q) {
			return buffer[:n], nil
		}
	}
}

func readPrefixed(stream io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(stream, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(stream, message)
	return message, err
}

func buildQuery(q dnsmessage.Question) ([]byte, error) {
	var id [2]byte
	rand.Read(id[:])
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: binary.BigEndian.Uint16(id[:]), RecursionDesired: true})
	b.EnableCompression()
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAdditionals()); err != nil {
		return nil, fmt.Errorf("build a query: %w", err)
	}
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	if err := b.OPTResource(edns, dnsmessage.OPTResource{}); err != nil {
		return nil, err
	}
	return b.Finish()
}

// matches says whether an answer is to this query.
func matches(answer, query []byte, q dnsmessage.Question) bool {
	var p dnsmessage.Parser
	header, err := p.Start(answer)
	if err != nil || !header.Response || header.ID != binary.BigEndian.Uint16(query) {
		return false
	}
	got, err := p.Question()
	return err == nil && got.Type == q.Type && got.Class == q.Class &&
		strings.EqualFold(got.Name.String(), q.Name.String())
}
