// Signals by the names that people and images write.

const firstRealTime = 34;
const lastRealTime = 64;

/** Number of "SIGQUIT", "quit", "3", "SIGRTMIN+3" on Linux; undefined for what is none. */
export function signalNumber(text: string): number | undefined {
  const name = text.toUpperCase().replace(/^SIG/, "");
  if (/^\d{1,2}$/.test(name)) return inRange(Number(name));
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime !== null) {
    const [, from, sign = "+", offset = "0"] = realTime;
    const number = (from === "MIN" ? firstRealTime : lastRealTime) + Number(`${sign}${offset}`);
    return number < firstRealTime ? undefined : inRange(number);
  }
  const { signals } = process.getBuiltinModule("node:os").constants;
  return Object.entries(signals).find(([other]) => other === `SIG${name}`)?.[1];
}

function inRange(number: number): number | undefined {
  return number >= 1 && number <= lastRealTime ? number : undefined;
}
