package workspace

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

const (
	maxPaths = 200
	maxRefs  = 100_000
	// maxRefBytes bounds one file of refs.
	maxRefBytes = 16 << 20
)

// Look implements WorkspaceService.
func (s *service) Look(ctx context.Context, request *connect.Request[agentv1.LookRequest]) (*connect.Response[agentv1.LookResponse], error) {
	workspace, err := resolve(request.Msg.GetPath())
	if err != nil {
		return nil, failed("look at", request.Msg.GetPath(), err)
	}
	reply := &agentv1.LookResponse{}
	if _, err := os.Lstat(workspace); err != nil || isEmptyDirectory(workspace) {
		return connect.NewResponse(reply), nil
	}
	reply.Exists = true
	record, err := readShipped(request.Msg.GetMetaPath())
	if err != nil {
		return nil, failed("look at", workspace, err)
	}
	refs, head := readRefs(workspace)
	reply.Head = head
	reply.HeadCommit = head
	if strings.HasPrefix(head, "refs/") {
		reply.HeadCommit = refs[head]
	}
	if record != nil {
		reply.Known = true
		work, err := record.workOf(ctx, workspace, refs)
		if err != nil {
			return nil, failed("look at", workspace, err)
		}
		reply.Work = work.message()
	}
	return connect.NewResponse(reply), nil
}

// work is what the guest has done to a workspace.
type work struct {
	paths []string
	refs  []string
}

func (w work) message() *agentv1.GuestWork {
	reply := &agentv1.GuestWork{Count: uint64(len(w.paths)), Refs: w.refs[:min(len(w.refs), maxPaths)]}
	for _, name := range w.paths[:min(len(w.paths), maxPaths)] {
		reply.Paths = append(reply.Paths, []byte(name))
	}
	return reply
}

func (w work) any() bool { return len(w.paths) > 0 || len(w.refs) > 0 }

// workOf compares a workspace with what was shipped.
func (s *shipped) workOf(ctx context.Context, workspace string, refs map[string]string) (work, error) {
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return work{}, err
	}
	defer root.Close()
	directory, err := root.Open(".")
	if err != nil {
		return work{}, err
	}
	defer directory.Close()
	var found work
	for name, file := range s.files {
		if err := ctx.Err(); err != nil {
			return work{}, err
		}
		if file.exact && file.looksUnchanged(int(directory.Fd()), name) {
			continue
		}
		same, err := matches(root, name, s.idBytes, file.fileState)
		if err != nil {
			return work{}, err
		}
		if !same {
			found.paths = append(found.paths, name)
		}
	}
	slices.Sort(found.paths)
	found.refs = s.refsChanged(refs)
	return found, nil
}

// looksUnchanged asks type, size and time alone.
func (f shippedFile) looksUnchanged(directory int, name string) bool {
	var status unix.Stat_t
	if unix.Fstatat(directory, name, &status, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false
	}
	if uint32(status.Size) != f.size || uint32(status.Mtim.Sec) != f.seconds {
		return false
	}
	switch status.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return f.mode == modeLink
	case unix.S_IFREG:
		return f.mode != modeLink && (status.Mode&0o100 != 0) == (f.mode == modeExecutable)
	default:
		return false
	}
}

// refsChanged compares branches, tags and the stash: others are copies of what is elsewhere.
func (s *shipped) refsChanged(refs map[string]string) []string {
	var changed []string
	for name, id := range refs {
		if isWork(name) && s.refs[name] != id {
			changed = append(changed, name)
		}
	}
	for name := range s.refs {
		if _, ok := refs[name]; !ok && isWork(name) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed
}

func isWork(ref string) bool {
	return ref == "HEAD" || ref == "refs/stash" || strings.HasPrefix(ref, "refs/heads/") || strings.HasPrefix(ref, "refs/tags/")
}

// readRefs reads the files of a repository's refs. A detached HEAD is among them; head is what HEAD says.
func readRefs(workspace string) (refs map[string]string, head string) {
	git := filepath.Join(workspace, ".git")
	refs = map[string]string{}
	for line := range strings.Lines(string(readSmall(filepath.Join(git, "packed-refs")))) {
		id, name, found := strings.Cut(strings.TrimSpace(line), " ")
		if found && !strings.HasPrefix(line, "#") && len(refs) < maxRefs {
			refs[name] = id
		}
	}
	loose := map[string]string{}
	_ = filepath.WalkDir(filepath.Join(git, "refs"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || len(loose) >= maxRefs {
			return nil
		}
		relative, err := filepath.Rel(git, name)
		if err == nil {
			loose[relative] = strings.TrimSpace(string(readSmall(name)))
		}
		return nil
	})
	maps.Copy(refs, loose)
	head = strings.TrimSpace(string(readSmall(filepath.Join(git, "HEAD"))))
	if name, symbolic := strings.CutPrefix(head, "ref: "); symbolic {
		return refs, strings.TrimSpace(name)
	}
	if head != "" {
		refs["HEAD"] = head
	}
	return refs, head
}

func readSmall(name string) []byte {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxRefBytes {
		return nil
	}
	data, _ := readRecord(name)
	return data
}
