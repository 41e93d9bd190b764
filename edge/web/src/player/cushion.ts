/**
 * How long pictures wait before they are shown. A lost packet comes again one round trip later: on
 * a network that loses some, waiting that long costs delay once instead of a freeze at every loss.
 */

import type { Receiving } from "../media/receiving";

/** More packets asked for again than this, since the reading before, is a lossy network. */
const NACKS = 2;
/** Asking takes some milliseconds, and the copy waits behind newer packets. */
const ROUND_TRIPS = 1.5;
const MARGIN_MS = 30;
const LONGEST_MS = 400;
/** After so many readings without loss the delay is given back. */
const CALM_READINGS = 20;

export class Cushion {
  #targetMs = 0;
  #calm = 0;
  #nacks = 0;

  /** The delay to ask for, in milliseconds, after a reading; 0 leaves it to the browser. */
  next({ nacks, rttMs }: Receiving): number {
    const lossy = nacks - this.#nacks > NACKS;
    this.#nacks = nacks;
    this.#calm = lossy ? 0 : this.#calm + 1;
    if (lossy && rttMs !== null) {
      const needed = Math.min(LONGEST_MS, Math.round(rttMs * ROUND_TRIPS) + MARGIN_MS);
      // It does not shrink while packets are lost: every change is seen.
      this.#targetMs = Math.max(this.#targetMs, needed);
    } else if (this.#calm >= CALM_READINGS) {
      this.#targetMs = 0;
    }
    return this.#targetMs;
  }
}
