// Package journal keeps the newest records of what a guest did on its network, and tells those who watch.
package journal

import (
	"net/netip"
	"sync"
	"time"

	"banger.dev/banger/internal/netd/policy"
)

// Event is what a record is about.
type Event uint8

const (
	Denied Event = iota + 1
	Opened
	Closed
	Resolved
	Failed
)

// Record is one line. Its fields are those of Record in netd.proto.
type Record struct {
	Sequence   uint64
	Time       time.Time
	Event      Event
	DNS        bool
	Protocol   policy.Protocol
	Flow       uint64
	Name       string
	NameSource string
	Target     netip.AddrPort
	Question   string
	Answers    []string
	Verdict    policy.Verdict
	Up, Down   uint64
	Duration   time.Duration
	Repeated   uint32
	Secrets    []string
	Inbound    bool
}

const (
	// Equal denials within this time become one record.
	mergeWithin = time.Second
	maxMerging  = 512
)

// Journal is safe for use by many.
type Journal struct {
	mu      sync.Mutex
	ring    []Record
	last    uint64
	changed chan struct{}
	denied  uint64
	limited uint64
	merging map[likeness]*merged
}

// likeness is what makes two denials equal.
type likeness struct {
	event    Event
	dns      bool
	protocol policy.Protocol
	name     string
	target   netip.AddrPort
	question string
	reason   string
}

type merged struct {
	record  Record
	count   uint32
	started time.Time
}

// New keeps so many records.
func New(size int) *Journal {
	return &Journal{ring: make([]Record, 0, size), changed: make(chan struct{}), merging: map[likeness]*merged{}}
}

// Add a record; time and sequence are set here.
func (j *Journal) Add(r Record) {
	r.Time = time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Event != Denied && r.Event != Failed {
		j.append(r)
		return
	}
	if r.Event == Denied {
		j.denied++
		if r.Verdict.Reason == "limit" {
			j.limited++
		}
	}
	key := likeness{r.Event, r.DNS, r.Protocol, r.Name, r.Target, r.Question, r.Verdict.Reason}
	if m := j.merging[key]; m != nil {
		m.count++
		return
	}
	if r.Flow == 0 && len(j.merging) < maxMerging {
		m := &merged{record: r}
		j.merging[key] = m
		time.AfterFunc(mergeWithin, func() { j.flush(key, m) })
	}
	j.append(r)
}

// EndRepeats makes the next of each kind of denial a record of its own. A denial under a new policy is another one, also when its reason is
// the same.
func (j *Journal) EndRepeats() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, m := range j.merging {
		j.end(key, m)
	}
}

// flush ends it when its time is over, unless it has ended already.
func (j *Journal) flush(key likeness, m *merged) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.merging[key] == m {
		j.end(key, m)
	}
}

// end tells how many more there were.
func (j *Journal) end(key likeness, m *merged) {
	delete(j.merging, key)
	if m.count > 0 {
		m.record.Repeated, m.record.Time = m.count, time.Now()
		j.append(m.record)
	}
}

func (j *Journal) append(r Record) {
	j.last++
	r.Sequence = j.last
	if size := cap(j.ring); len(j.ring) < size {
		j.ring = append(j.ring, r)
	} else {
		j.ring[int((j.last-1)%uint64(size))] = r
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// Since returns records after a sequence number, at most so many, how many of them are not kept any more, and a channel that is closed when
// there are others.
func (j *Journal) Since(after uint64, most int) (records []Record, missed uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.last - uint64(len(j.ring)) + 1
	if after+1 < oldest {
		missed = oldest - after - 1
		after = oldest - 1
	}
	for sequence := after + 1; sequence <= j.last && len(records) < most; sequence++ {
		records = append(records, j.ring[int((sequence-1)%uint64(cap(j.ring)))])
	}
	return records, missed, j.changed
}

// Last is the newest sequence number.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Denials is how many there were, and how many of them because of a limit.
func (j *Journal) Denials() (denied, limited uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.denied, j.limited
}
