// A process in a guest that looks at its clocks about each millisecond and tells when too much time has passed: whoever stops its
// machine or freezes its processes cannot hide from it.
import type { Client } from "../src/sdk/client.ts";
import { execIn } from "./vms.ts";

/** Shorter gaps are the guest's own scheduling. */
const reportedMs = 4;
/** For a line that is still on its way. */
const settleMs = 30;

/**
 * Both clocks: the monotonic one stands while the CPUs are stopped, and the wall clock is set right before the processes go on.
 */
const script = `use Time::HiRes qw(clock_gettime usleep CLOCK_MONOTONIC CLOCK_REALTIME); $| = 1; print "0\\n";
my ($m, $r) = (clock_gettime(CLOCK_MONOTONIC), clock_gettime(CLOCK_REALTIME));
while (1) { usleep(1000);
  my ($n, $s) = (clock_gettime(CLOCK_MONOTONIC), clock_gettime(CLOCK_REALTIME));
  my $gap = 1000 * ($n - $m > $s - $r ? $n - $m : $s - $r);
  printf "%.1f\\n", $gap if $gap > ${reportedMs};
  ($m, $r) = ($n, $s); }`;

export class StandstillWatch implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #rest = "";
  #gapsMs: number[] = [];
  #onLine: () => void = () => {};

  private constructor(client: Client, vm: string) {
    this.#running = execIn(client, vm, ["perl", "-e", script], {
      signal: this.#stop.signal,
      onOutput: (text) => this.#take(text),
    });
  }

  /** Resolves when the process watches. */
  static async start(client: Client, vm: string): Promise<StandstillWatch> {
    const watch = new StandstillWatch(client, vm);
    const first = Promise.withResolvers<void>();
    watch.#onLine = first.resolve;
    watch.#running.catch(first.reject);
    await first.promise;
    return watch;
  }

  /** Runs the work; milliseconds of the longest standstill meanwhile. */
  async during(work: () => Promise<void>): Promise<number> {
    this.#gapsMs = [];
    await work();
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    return Math.max(reportedMs, ...this.#gapsMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running.catch(() => {});
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    this.#gapsMs.push(...lines.map(Number));
    if (lines.length > 0) this.#onLine();
  }
}
