package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"banger.dev/banger/internal/channel"
	"banger.dev/banger/internal/files"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/inspect"
	"banger.dev/banger/internal/life"
	"banger.dev/banger/internal/ports"
	"banger.dev/banger/internal/process"
	"banger.dev/banger/internal/workspace"
	"connectrpc.com/connect"
)

const maxRequestBytes = 4 << 20

// A call that is answered at once.
const rehearsalLimit = time.Second

// newHandler routes every service of the contract.
func newHandler(state *guest.State, service *life.Service, ssh *sshService) http.Handler {
	options := connect.WithHandlerOptions(
		connect.WithInterceptors(life.Guard(state)),
		connect.WithReadMaxBytes(maxRequestBytes),
		// No compression: the stream never leaves the machine, and it would be the most costly thing on it.
		connect.WithCompression("gzip", nil, nil),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, cause any) error {
			return connect.NewError(connect.CodeInternal, fmt.Errorf("%s panicked: %v", spec.Procedure, cause))
		}),
	)
	services := map[string]func(net.Conn){"ssh": ssh.serveConn}
	mux := http.NewServeMux()
	handler := undated(mux)
	mux.Handle(agentv1connect.NewAgentServiceHandler(service, options))
	processes := process.NewService(state)
	service.EndBeforeThaw(processes.EndAbandoned)
	if runtime.NumCPU() > 1 {
		hello := channel.NewRehearsal(agentv1connect.AgentServiceHelloProcedure)
		service.RehearseWhenFrozen(func() { hello.Run(handler, rehearsalLimit) })
	}
	service.EndBeforeOthers(processes.StopMain)
	mux.Handle(agentv1connect.NewProcessServiceHandler(processes, options))
	mux.Handle(agentv1connect.NewFileServiceHandler(files.NewService(), options))
	mux.Handle(agentv1connect.NewWorkspaceServiceHandler(workspace.NewService(), options))
	mux.Handle(agentv1connect.NewPortServiceHandler(ports.NewService(services), options))
	mux.Handle(agentv1connect.NewInspectServiceHandler(inspect.NewService(), options))
	return handler
}

// undated leaves the Date of answers out: nobody reads it, and on an emulated processor writing it is work.
func undated(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		handler.ServeHTTP(w, r)
	})
}
