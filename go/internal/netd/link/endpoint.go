// Package link joins the stream of frames of a VMM with gVisor's network stack, with the edge in between.
package link

import (
	"sync/atomic"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/frame"
	"banger.dev/banger/internal/netd/plan"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// endpoint is the stack's way to the guest. It speaks IP; Ethernet is the edge's.
type endpoint struct {
	edge       *edge.Edge
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	out        atomic.Pointer[frame.Writer]
	counters   *Counters
}

// Counters of frames.
type Counters struct {
	FramesFromGuest, BytesFromGuest atomic.Uint64
	FramesToGuest, BytesToGuest     atomic.Uint64
	Dropped                         atomic.Uint64
}

func (e *endpoint) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	out := e.out.Load()
	sent := 0
	for _, packet := range packets.AsSlice() {
		kind := uint16(edge.TypeIPv4)
		if packet.NetworkProtocolNumber == header.IPv6ProtocolNumber {
			kind = edge.TypeIPv6
		}
		ethernet := e.edge.Header(kind)
		size := packet.Size()
		// The packet's memory goes to the kernel without a copy. Its segment is held by TCP until it is acknowledged anyhow.
		packet.IncRef()
		parts := append([][]byte{ethernet[:]}, packet.AsSlices()...)
		if out == nil || !out.Send(frame.Outgoing{Parts: parts, Release: packet.DecRef}) {
			return sent, &tcpip.ErrNoBufferSpace{}
		}
		e.counters.FramesToGuest.Add(1)
		e.counters.BytesToGuest.Add(uint64(size + edge.EthernetSize))
		sent++
	}
	return sent, nil
}

// send a frame that was made outside of the stack.
func (e *endpoint) send(whole []byte) {
	if out := e.out.Load(); out != nil && out.Send(frame.Outgoing{Parts: [][]byte{whole}, Release: func() {}}) {
		e.counters.FramesToGuest.Add(1)
		e.counters.BytesToGuest.Add(uint64(len(whole)))
	}
}

func (e *endpoint) deliver(protocol tcpip.NetworkProtocolNumber, packet *stack.PacketBuffer) {
	if dispatcher := e.dispatcher.Load(); dispatcher != nil {
		(*dispatcher).DeliverNetworkPacket(protocol, packet)
	}
}

func (e *endpoint) Attach(dispatcher stack.NetworkDispatcher) {
	if dispatcher == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&dispatcher)
}

func (e *endpoint) IsAttached() bool                             { return e.dispatcher.Load() != nil }
func (e *endpoint) MTU() uint32                                  { return plan.MTU }
func (e *endpoint) SetMTU(uint32)                                {}
func (e *endpoint) MaxHeaderLength() uint16                      { return 0 }
func (e *endpoint) LinkAddress() tcpip.LinkAddress               { return "" }
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress)             {}
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (e *endpoint) Wait()                                        {}
func (e *endpoint) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (e *endpoint) AddHeader(*stack.PacketBuffer)                {}
func (e *endpoint) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (e *endpoint) Close()                                       {}
func (e *endpoint) SetOnCloseAction(func())                      {}
