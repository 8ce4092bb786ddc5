// Which VMs a list shows: `--filter KEY=VALUE`, as docker's lists have it. Several of one key are alternatives; keys restrict each other.
import type { VmRecord, VmState } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";

export interface VmFilter {
  key: string;
  value: string;
}

const tests: Readonly<Record<string, (vm: VmRecord, value: string) => boolean>> = {
  id: (vm, value) => vm.id.startsWith(value),
  name: (vm, value) => vm.name.includes(value),
  state: (vm, value) => vm.state === value,
  image: (vm, value) => vm.image.name === value || vm.image.id.startsWith(value),
  label: (vm, value) => {
    const at = value.indexOf("=");
    if (at < 0) return Object.hasOwn(vm.labels, value);
    return vm.labels[value.slice(0, at)] === value.slice(at + 1);
  },
};

/** All there are: the compiler says when one is missing. */
const states: Readonly<Record<VmState, true>> = {
  created: true,
  starting: true,
  running: true,
  stopping: true,
  paused: true,
  stopped: true,
  broken: true,
};

/** What a filter can begin with, and the states in full. */
export const filterWords: readonly string[] = Object.keys(tests).flatMap((key) =>
  key === "state" ? Object.keys(states).map((state) => `state=${state}`) : [`${key}=`],
);

/** Throws `usage` for a key or a state that there is not. */
export function parseFilter(text: string): VmFilter {
  const at = text.indexOf("=");
  const key = text.slice(0, Math.max(0, at));
  const value = text.slice(at + 1);
  if (key === "state" && !Object.hasOwn(states, value)) {
    throw new BangerError("usage", `--filter "${text}": a VM is ${Object.keys(states).join(", ")}`);
  }
  if (Object.hasOwn(tests, key)) return { key, value };
  throw new BangerError("usage", `--filter "${text}" is not KEY=VALUE with one of ${Object.keys(tests).join(", ")}`);
}

/** Each `label` must fit, as labels are many on one VM; of the other keys one of the values. */
export function fits(vm: VmRecord, filters: readonly VmFilter[]): boolean {
  const matches = ({ key, value }: VmFilter) => tests[key]?.(vm, value) === true;
  const keys = new Set(filters.map(({ key }) => key));
  return [...keys].every((key) => {
    const ofKey = filters.filter((filter) => filter.key === key);
    return key === "label" ? ofKey.every(matches) : ofKey.some(matches);
  });
}
