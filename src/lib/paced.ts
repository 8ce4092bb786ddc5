// Calls that come as often as they like, and are passed on as often as anybody can see.

/** The first at once, then at most one in `intervalMs`: the latest. Disposing it passes on what waits. */
export function paced<Args extends unknown[]>(
  intervalMs: number,
  call: (...args: Args) => void,
): ((...args: Args) => void) & Disposable {
  let latest: Args | undefined;
  let timer: NodeJS.Timeout | undefined;
  let lastMs = Number.NEGATIVE_INFINITY;
  const now = () => {
    clearTimeout(timer);
    timer = undefined;
    if (latest === undefined) return;
    const args = latest;
    latest = undefined;
    lastMs = performance.now();
    call(...args);
  };
  const offer = (...args: Args): void => {
    latest = args;
    const waitMs = lastMs + intervalMs - performance.now();
    if (waitMs <= 0) now();
    else timer ??= setTimeout(now, waitMs);
  };
  return Object.assign(offer, { [Symbol.dispose]: now });
}
