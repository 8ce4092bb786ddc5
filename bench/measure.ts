// What the bench is made of: rows measure, and give measures with a target.
import type { Client } from "../src/sdk/client.ts";
import type { Banger } from "./banger.ts";
import type { Summary } from "./statistics.ts";

export type Unit = "x" | "ms" | "MB" | "MiB" | "MB/s";

export interface Measure {
  name: string;
  /** The value that the target is for. */
  value: number;
  unit: Unit;
  /** Wanted: at most this. */
  target: number;
  /** What the value was made of. */
  sides: Record<string, Summary>;
  /** Default: the unit of the value; milliseconds for a ratio. */
  sideUnit?: Exclude<Unit, "x">;
}

/** What rows work with. */
export interface Bench {
  banger: Banger;
  /** A client that lives through the whole run: no start of a program is in what it measures. */
  client: Client;
  rounds: number;
  /** Also what takes long. */
  full: boolean;
  /** An empty directory for disks and sockets, removed after the run. */
  dir: string;
}

export interface Row {
  /** For --only. */
  name: string;
  /** For the one who waits. */
  about: string;
  measure(bench: Bench): Promise<Measure[]>;
}
