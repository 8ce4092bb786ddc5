package control

import (
	"context"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/policy"
	"connectrpc.com/connect"
)

const recordsAtOnce = 256

func (s *service) WatchLog(ctx context.Context, r *connect.Request[netdv1.WatchLogRequest], stream *connect.ServerStream[netdv1.WatchLogResponse]) error {
	after := r.Msg.AfterSequence
	past := s.network.Journal.Last()
	caughtUp := false
	for {
		records, missed, more := s.network.Journal.Since(after, recordsAtOnce)
		if len(records) > 0 {
			after = records[len(records)-1].Sequence
			if err := stream.Send(&netdv1.WatchLogResponse{Records: wire(records), Missed: missed}); err != nil {
				return err
			}
		}
		if !caughtUp && after >= past || len(records) == 0 && !caughtUp {
			caughtUp = true
			if err := stream.Send(&netdv1.WatchLogResponse{CaughtUp: true}); err != nil {
				return err
			}
			if !r.Msg.Follow {
				return nil
			}
		}
		if len(records) > 0 {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

var wireProtocols = map[policy.Protocol]netdv1.Protocol{
	policy.TCP: netdv1.Protocol_PROTOCOL_TCP, policy.UDP: netdv1.Protocol_PROTOCOL_UDP, policy.ICMP: netdv1.Protocol_PROTOCOL_ICMP,
}

func wire(records []journal.Record) []*netdv1.Record {
	all := make([]*netdv1.Record, len(records))
	for i, r := range records {
		protocol := wireProtocols[r.Protocol]
		if r.DNS {
			protocol = netdv1.Protocol_PROTOCOL_DNS
		}
		all[i] = &netdv1.Record{
			Sequence: r.Sequence, TimeUnixNanos: r.Time.UnixNano(), Event: netdv1.Record_Event(r.Event), Protocol: protocol,
			Flow: r.Flow, Name: r.Name, NameSource: r.NameSource, Port: uint32(r.Target.Port()), Question: r.Question,
			Answers: r.Answers, Verdict: verdict(r.Verdict), BytesUp: r.Up, BytesDown: r.Down,
			DurationMs: uint64(r.Duration.Milliseconds()), Repeated: r.Repeated, Secrets: r.Secrets, Inbound: r.Inbound,
		}
		if r.Target.Addr().IsValid() {
			all[i].Address = r.Target.Addr().String()
		}
	}
	return all
}
