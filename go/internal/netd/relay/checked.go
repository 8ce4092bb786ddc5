package relay

import (
	"errors"
	"io"
	"time"

	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/sniff"
)

// errDone: the connection was dealt with to its end.
var errDone = errors.New("done")

// alertAccessDenied is a TLS record: fatal, access_denied. Clients show it.
var alertAccessDenied = []byte{21, 3, 3, 0, 2, 2, 49}

func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// copyChecked holds back what the client says until it is known with whom it wants to speak, and that it may. An address can be
// shared by many names: without this, one allowed name would open them all.
func (s *session) copyChecked() error {
	beginning, kind, err := s.readBeginning(false)
	if err != nil || len(beginning) == 0 {
		return endOf(err)
	}
	switch kind {
	case sniff.TLS:
		hello, err := s.checkTLS(beginning)
		if err != nil {
			return err
		}
		if endsHere(s.relay.Secrets(), hello) && s.pauseDown() {
			return s.proxyTLS(beginning, hello.Name)
		}
		return s.copyAfterHello(beginning, hello.Size)
	case sniff.HTTP:
		if s.pauseDown() {
			return s.proxyHTTP(beginning)
		}
		err = s.refuseUnchecked()
	case sniff.SSH:
	default:
		// What cannot be checked may go to an address that a name was bound to, but not where many names share one.
		if kind != sniff.Other || s.to.verdict.ByName && sharedPort(s.to.question.Port) {
			err = s.refuseUnchecked()
		}
	}
	if err != nil {
		return err
	}
	if err := s.passOn(beginning); err != nil {
		return err
	}
	return copyUp(s.upstream, s.guest, &s.flow.Up)
}

func (s *session) passOn(bytes []byte) error {
	_, err := s.upstream.Write(bytes)
	s.flow.Up.Add(uint64(len(bytes)))
	return err
}

func sharedPort(port uint16) bool { return port == 80 || port == 443 }

// readBeginning reads until it can be told what it is, and for TLS until the hello is complete. An end before that: what there was.
// With onlyTLS all else is Other.
func (s *session) readBeginning(onlyTLS bool) ([]byte, sniff.Kind, error) {
	var beginning []byte
	s.guest.WaitReadable()
	s.guest.SetReadDeadline(time.Now().Add(sayWithin))
	defer s.guest.SetReadDeadline(time.Time{})
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for {
		n, err := s.guest.Read((*buffer)[:4<<10])
		beginning = append(beginning, (*buffer)[:n]...)
		kind := sniff.Recognize(beginning)
		if onlyTLS && len(beginning) > 0 && !sniff.LooksLikeTLS(beginning) {
			kind = sniff.Other
		}
		if kind == sniff.TLS && len(beginning) <= sniff.MaxHello {
			if _, failed := sniff.ParseHello(beginning); errors.Is(failed, sniff.ErrMore) {
				kind = sniff.Unknown
			}
		}
		if kind != sniff.Unknown {
			return beginning, kind, nil
		}
		if isTimeout(err) || errors.Is(err, io.EOF) && len(beginning) > 0 {
			return beginning, sniff.Unknown, nil
		}
		if err != nil {
			return nil, sniff.Unknown, err
		}
	}
}

// copyAfterHello passes a hello on that was checked, and looks out for a second one: its name must be allowed as well.
func (s *session) copyAfterHello(beginning []byte, size int) error {
	if err := s.passOn(beginning[:size]); err != nil {
		return err
	}
	held := beginning[size:]
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for {
		at, found, unsure := sniff.Retry(held)
		if found {
			_, unsure = sniff.ParseHello(held[at:])
		}
		if !errors.Is(unsure, sniff.ErrMore) || len(held) > sniff.MaxHello+64 {
			if found {
				if _, err := s.checkTLS(held[at:]); err != nil {
					return err
				}
			}
			if err := s.passOn(held); err != nil {
				return err
			}
			return copyUp(s.upstream, s.guest, &s.flow.Up)
		}
		s.guest.WaitReadable()
		n, err := s.guest.Read((*buffer)[:4<<10])
		held = append(held, (*buffer)[:n]...)
		if err != nil {
			if endOf(err) == nil {
				return s.passOn(held)
			}
			return err
		}
	}
}

// checkTLS judges a hello.
func (s *session) checkTLS(beginning []byte) (sniff.Hello, error) {
	hello, err := sniff.ParseHello(beginning)
	verdict := s.to.verdict
	switch {
	case err != nil:
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "not-checkable"}
	case hello.Name != "":
		verdict = s.decideName(hello.Name)
		s.flow.Say(hello.Name, "tls", verdict)
	case verdict.ByName:
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "no-server-name"}
	}
	if verdict.Allowed {
		return hello, nil
	}
	s.guest.Write(alertAccessDenied)
	return hello, s.refuse(verdict)
}

func (s *session) decideName(name string) policy.Verdict {
	p, _ := s.relay.Judge.Policy()
	return p.DecideName(s.to.question, name, s.to.verdict)
}

func (s *session) refuseUnchecked() error {
	return s.refuse(policy.Verdict{Rule: s.to.verdict.Rule, Reason: "not-checkable"})
}

// refuse ends the connection after what was written to the guest has gone out.
func (s *session) refuse(verdict policy.Verdict) error {
	s.guest.CloseWrite()
	s.deny(verdict)
	return errDone
}
