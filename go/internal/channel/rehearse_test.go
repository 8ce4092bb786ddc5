package channel

import (
	"io"
	"net/http"
	"testing"
	"time"
)

func TestARehearsalIsOneWholeCall(t *testing.T) {
	calls := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) > 0 || r.Method != http.MethodPost || r.URL.Path != "/some/procedure" || r.ProtoMajor != 2 {
			t.Errorf("%s %s %s with %d bytes, %v", r.Proto, r.Method, r.URL.Path, len(body), err)
		}
		_, _ = w.Write(make([]byte, 1000))
	})
	rehearsal := NewRehearsal("/some/procedure")
	const enough = time.Minute
	began := time.Now()
	for range 2 {
		rehearsal.Run(handler, enough)
	}
	if calls != 2 || time.Since(began) >= enough {
		t.Fatalf("%d calls, ended after %s", calls, time.Since(began))
	}
}

func TestARehearsalThatIsNotAnsweredEnds(t *testing.T) {
	cancelled := make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(cancelled)
	})
	NewRehearsal("/some/procedure").Run(handler, 10*time.Millisecond)
	<-cancelled
}
