// The terminal in raw mode: every key goes to the guest, nothing is echoed or turned into a signal here.
import type { ReadStream } from "node:tty";
import type { Interrupts } from "../interrupts.ts";

/** Until disposed; given back as well when a second signal ends this process. */
export function enterRawMode(stdin: ReadStream, interrupts: Interrupts): Disposable {
  stdin.setRawMode(true);
  let entered = true;
  const restore = () => {
    if (entered) stdin.setRawMode(false);
    entered = false;
  };
  const leaving = interrupts.onLeave(restore);
  return {
    [Symbol.dispose]: () => {
      restore();
      leaving[Symbol.dispose]();
    },
  };
}
