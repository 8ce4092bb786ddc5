package main

import (
	"bytes"
	"context"
	"net/http"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/process"
	"google.golang.org/protobuf/proto"
)

// rehearse does, before a template is taken, what a program does once in its life: tables of messages and of JSON are made,
// and the kernel is asked what it can do. A guest that is restored has them in its memory, and does not need the code that
// makes them, which where the machine is emulated would have to be translated first.
func rehearse(handler http.Handler) {
	for _, message := range []proto.Message{
		&agentv1.ConfigureRequest{
			VmId: "-", Disks: &agentv1.DiskLayout{BaseSerial: "-"}, Network: &agentv1.NetworkConfig{Interface: "-"},
			Ssh: &agentv1.SshConfig{HostKeyPem: []byte("-")}, Environment: []string{"-"},
		},
		&agentv1.ThawRequest{Identity: &agentv1.Identity{
			VmId: "-", Ssh: &agentv1.SshConfig{HostKeyPem: []byte("-")}, Network: &agentv1.NetworkConfig{Interface: "-"},
		}},
		&agentv1.ThawResponse{Steps: []*agentv1.ConfigureResponse_Step{{Name: "-"}}},
		&agentv1.ConfigureResponse{Steps: []*agentv1.ConfigureResponse_Step{{Name: "-"}}},
		&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Start{Start: &agentv1.ExecStart{Argv: []string{"-"}}}},
		&agentv1.ExecResponse{Message: &agentv1.ExecResponse_Exit{Exit: &agentv1.ExecExit{Code: 1}}},
	} {
		if encoded, err := proto.Marshal(message); err == nil {
			_ = proto.Unmarshal(encoded, message.ProtoReflect().New().Interface())
		}
	}
	refuseExec(handler)
	process.Rehearse()
}

// refuseExec has a call refused as long as the guest is not configured: the way of an answer is gone to its end.
func refuseExec(handler http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, agentv1connect.ProcessServiceExecProcedure, new(bytes.Reader))
	if err != nil {
		return
	}
	request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/2.0", 2, 0
	request.Header.Set("Content-Type", "application/connect+proto")
	handler.ServeHTTP(nobody{}, request)
}

// nobody takes an answer and keeps nothing of it.
type nobody http.Header

func (n nobody) Header() http.Header            { return http.Header(n) }
func (nobody) Write(answer []byte) (int, error) { return len(answer), nil }
func (nobody) WriteHeader(int)                  {}
func (nobody) Flush()                           {}
