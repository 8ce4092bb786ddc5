package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/life"
	"banger.dev/banger/internal/process"
	"connectrpc.com/connect"
)

const maxRequestBytes = 4 << 20

// newHandler routes every service of the contract.
func newHandler(state *guest.State, service *life.Service, ssh *sshService) http.Handler {
	options := connect.WithHandlerOptions(
		connect.WithInterceptors(life.Guard(state)),
		connect.WithReadMaxBytes(maxRequestBytes),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, cause any) error {
			return connect.NewError(connect.CodeInternal, fmt.Errorf("%s panicked: %v", spec.Procedure, cause))
		}),
	)
	mux := http.NewServeMux()
	mux.Handle(agentv1connect.NewAgentServiceHandler(service, options))
	mux.Handle(agentv1connect.NewProcessServiceHandler(process.NewService(state), options))
	return mux
}

// sshService is the SSH server from the moment at which Configure brought its keys.
type sshService struct {
	state  *guest.State
	server atomic.Pointer[sshServer]
}

type sshServer struct{}

func (sshServer) ServeConn(conn net.Conn) { conn.Close() }

func (s *sshService) start(hostKeyPEM []byte, authorizedKeys []string) error {
	return errors.New("not wired yet")
}
