// Package flows knows the connections that are open, counts them against limits, and cuts those that a new policy does not allow.
package flows

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/policy"
)

// Flow is one connection, from when it was allowed.
type Flow struct {
	ID       uint64
	Question policy.Question
	Target   netip.AddrPort
	Up, Down atomic.Uint64

	inbound bool
	opened  time.Time
	cut     func()
	isCut   atomic.Bool

	mu      sync.Mutex
	verdict policy.Verdict
	said    string
	source  string
	secrets []string
}

// Verdict that holds for the flow.
func (f *Flow) Verdict() policy.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verdict
}

// Say notes a name that the client said, in "tls" or "http".
func (f *Flow) Say(name, source string, verdict policy.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said, f.source, f.verdict = name, source, verdict
}

// Use notes the names of secrets that went along.
func (f *Flow) Use(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(f.secrets, name) {
			f.secrets = append(slices.Clip(f.secrets), name)
		}
	}
}

func (f *Flow) used() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets
}

func (f *Flow) name() (name, source string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said == "" && len(f.Question.Names) > 0 {
		return f.Question.Names[0], "dns"
	}
	return f.said, f.source
}

func (f *Flow) record(event journal.Event) journal.Record {
	name, source := f.name()
	return journal.Record{
		Event: event, Protocol: f.Question.Protocol, Flow: f.ID, Name: name, NameSource: source, Target: f.Target,
		Verdict: f.Verdict(), Up: f.Up.Load(), Down: f.Down.Load(), Duration: time.Since(f.opened), Secrets: f.used(), Inbound: f.inbound,
	}
}

// Registry is safe for use by many.
type Registry struct {
	judge   *judge.Judge
	journal *journal.Journal

	mu    sync.Mutex
	open  map[uint64]*Flow
	count [4]int
	total [4]uint64
	next  uint64
}

// New is empty.
func New(j *judge.Judge, log *journal.Journal) *Registry {
	return &Registry{judge: j, journal: log, open: map[uint64]*Flow{}}
}

// Open adds a flow and tells the log. Cut must end it at once; it is called at most once, perhaps before Open returns: a policy
// may have come in since the verdict. The caller closes the flow in any case.
func (r *Registry) Open(q policy.Question, target netip.AddrPort, verdict policy.Verdict, cut func()) *Flow {
	return r.add(&Flow{Question: q, Target: target, verdict: verdict, cut: cut, opened: time.Now()})
}

// OpenInbound is Open for a flow that another VM began.
func (r *Registry) OpenInbound(q policy.Question, target netip.AddrPort, verdict policy.Verdict, cut func()) *Flow {
	return r.add(&Flow{Question: q, Target: target, verdict: verdict, cut: cut, opened: time.Now(), inbound: true})
}

func (r *Registry) add(f *Flow) *Flow {
	r.mu.Lock()
	r.next++
	f.ID = r.next
	r.open[f.ID] = f
	r.count[f.Question.Protocol]++
	r.total[f.Question.Protocol]++
	r.mu.Unlock()
	r.journal.Add(f.record(journal.Opened))
	r.judgeAgain(f)
	return f
}

// Close takes a flow out and tells the log.
func (r *Registry) Close(f *Flow) {
	r.mu.Lock()
	delete(r.open, f.ID)
	r.count[f.Question.Protocol]--
	r.mu.Unlock()
	if !f.isCut.Load() {
		r.journal.Add(f.record(journal.Closed))
	}
}

// Deny ends a flow with a record that says why.
func (r *Registry) Deny(f *Flow, verdict policy.Verdict) {
	if f.isCut.Swap(true) {
		return
	}
	f.mu.Lock()
	f.verdict = verdict
	f.mu.Unlock()
	r.journal.Add(f.record(journal.Denied))
	f.cut()
}

// Note tells the log of something in a flow that was denied while the flow goes on.
func (r *Registry) Note(f *Flow, verdict policy.Verdict) {
	record := f.record(journal.Denied)
	record.Verdict, record.Flow = verdict, 0
	r.journal.Add(record)
}

// Sweep cuts what the policy in force does not allow, and says how many that were.
func (r *Registry) Sweep() int {
	r.mu.Lock()
	flows := make([]*Flow, 0, len(r.open))
	for _, f := range r.open {
		flows = append(flows, f)
	}
	r.mu.Unlock()
	cut := 0
	for _, f := range flows {
		if r.judgeAgain(f) {
			cut++
		}
	}
	return cut
}

func (r *Registry) judgeAgain(f *Flow) (cut bool) {
	f.mu.Lock()
	said := f.said
	f.mu.Unlock()
	if verdict := r.judge.Again(f.Question, said); !verdict.Allowed {
		r.Deny(f, verdict)
		return true
	}
	return false
}

// Count is how many flows of a protocol are open, and how many there were.
func (r *Registry) Count(protocol policy.Protocol) (open int, total uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[protocol], r.total[protocol]
}
