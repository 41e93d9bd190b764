/** Delays between attempts: exponential, with full jitter above half, so that a crowd spreads out. */

export const FIRST_DELAY_MS = 500;
export const LONGEST_DELAY_MS = 10_000;

export class Backoff {
  #attempts = 0;

  constructor(private readonly random: () => number = Math.random) {}

  get attempts(): number {
    return this.#attempts;
  }

  /** The next delay in milliseconds, never shorter than the edge asked for. */
  next(retryAfterS = 0): number {
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    const own = ceiling * (0.5 + 0.5 * this.random());
    const asked = retryAfterS * 1000;
    return asked > own ? asked * (1 + 0.1 * this.random()) : own;
  }

  reset(): void {
    this.#attempts = 0;
  }
}

/** Wait; ends early, without an error, when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
