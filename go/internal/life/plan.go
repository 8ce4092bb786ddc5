package life

import (
	"errors"
	"fmt"
	"path"
	"strings"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/network"
	"banger.dev/banger/internal/rootfs"
)

// Plan is a checked ConfigureRequest.
type Plan struct {
	Guest   guest.Config
	Serials rootfs.Serials
	// Network is nil when the guest gets none.
	Network        *network.Interface
	NameServers    []string
	HostKeyPEM     []byte
	AuthorizedKeys []string
	WallClockNanos int64
	Entropy        []byte
	// Init is the path of the image's init; empty when it is not to run.
	Init string
	// WarmUp asks for a first process beside the other work.
	WarmUp bool
	// Git is who commits are by; zero when that is left to the guest.
	Git identity.GitUser
	// Directories are made where nothing has their names.
	Directories []string
}

// AssemblePlan is a checked AssembleRequest.
type AssemblePlan struct {
	Serials        rootfs.Serials
	WallClockNanos int64
	Entropy        []byte
	// Directories are made where nothing has their names.
	Directories []string
}

// ParseAssemble checks everything that can be checked before a device is touched.
func ParseAssemble(request *agentv1.AssembleRequest) (*AssemblePlan, error) {
	plan := &AssemblePlan{
		Serials: parseSerials(request.Disks), WallClockNanos: request.WallClockUnixNanos, Entropy: request.Entropy,
		Directories: request.Directories,
	}
	if err := checkMoment(plan.WallClockNanos, plan.Entropy); err != nil {
		return nil, err
	}
	return plan, checkDirectories(plan.Directories)
}

func parseSerials(disks *agentv1.DiskLayout) rootfs.Serials {
	return rootfs.Serials{Base: disks.GetBaseSerial(), Overlay: disks.GetOverlaySerial(), Work: disks.GetWorkSerial()}
}

const (
	minEntropyBytes = 32
	maxEntropyBytes = 4096
	maxEnvironment  = 4096
	maxDirectories  = 1024
)

// ParsePlan checks everything that can be checked before a device is touched. The plan is never nil.
func ParsePlan(request *agentv1.ConfigureRequest) (*Plan, error) {
	plan := &Plan{
		Guest: guest.Config{
			VMID: request.VmId, Hostname: request.Hostname, BootID: request.BootId, Environment: request.Environment,
			DefaultUser: request.DefaultUser, DefaultWorkdir: request.DefaultWorkdir,
		},
		Serials:        parseSerials(request.Disks),
		HostKeyPEM:     request.Ssh.GetHostKeyPem(),
		AuthorizedKeys: request.Ssh.GetAuthorizedKeys(),
		WallClockNanos: request.WallClockUnixNanos,
		Entropy:        request.Entropy,
		Init:           request.Init,
		WarmUp:         request.WarmUp,
		Git:            identity.GitUser{Name: request.GitIdentity.GetName(), Email: request.GitIdentity.GetEmail()},
		Directories:    request.Directories,
	}
	if plan.Init != "" && (!path.IsAbs(plan.Init) || strings.ContainsRune(plan.Init, 0)) {
		return plan, fmt.Errorf("init: %q is no absolute path", plan.Init)
	}
	if err := checkNames(plan.Guest.VMID, plan.Guest.Hostname, plan.Guest.BootID); err != nil {
		return plan, err
	}
	if err := checkMoment(plan.WallClockNanos, plan.Entropy); err != nil {
		return plan, err
	}
	if err := plan.Git.Check(); err != nil {
		return plan, err
	}
	if err := checkEnvironment(plan.Guest.Environment); err != nil {
		return plan, err
	}
	if workdir := plan.Guest.DefaultWorkdir; workdir != "" && !path.IsAbs(workdir) {
		return plan, fmt.Errorf("default_workdir: %q is not absolute", workdir)
	}
	if err := checkDirectories(plan.Directories); err != nil {
		return plan, err
	}
	if request.Network != nil {
		wanted, err := network.Parse(request.Network)
		if err != nil {
			return plan, fmt.Errorf("network: %w", err)
		}
		plan.Network, plan.NameServers = &wanted, request.Network.DnsServers
	}
	return plan, nil
}

func checkNames(vmID, hostname, bootID string) error {
	if vmID == "" {
		return errors.New("vm_id: must be given")
	}
	if err := identity.CheckHostname(hostname); err != nil {
		return err
	}
	return identity.CheckBootID(bootID)
}

// checkMoment checks what a guest gets each time that it begins or goes on.
func checkMoment(wallClockNanos int64, entropy []byte) error {
	if err := identity.CheckClock(wallClockNanos); err != nil {
		return err
	}
	if n := len(entropy); n < minEntropyBytes || n > maxEntropyBytes {
		return fmt.Errorf("entropy: %d bytes, want %d to %d", n, minEntropyBytes, maxEntropyBytes)
	}
	return nil
}

func checkDirectories(directories []string) error {
	if len(directories) > maxDirectories {
		return fmt.Errorf("directories: %d, at most %d can be given", len(directories), maxDirectories)
	}
	for _, directory := range directories {
		if !path.IsAbs(directory) || strings.ContainsRune(directory, 0) {
			return fmt.Errorf("directories: %q is no absolute path", directory)
		}
	}
	return nil
}

func checkEnvironment(environment []string) error {
	if len(environment) > maxEnvironment {
		return fmt.Errorf("environment: %d variables, at most %d can be given", len(environment), maxEnvironment)
	}
	for _, entry := range environment {
		name, _, found := strings.Cut(entry, "=")
		if !found || name == "" || strings.ContainsRune(entry, 0) {
			return fmt.Errorf("environment: %q is not NAME=value", name)
		}
	}
	return nil
}
