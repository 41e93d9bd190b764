/** What a person saw: intervals between rendered frames, and the freezes among them. */

const MEAN_OVER = 30;
const KEPT = 36_000;

export class GapTracker {
  /** Frames rendered, including those presented without a call to us. */
  frames = 0;
  freezes = 0;
  freezeMs = 0;
  longestMs = 0;
  /** Milliseconds between rendered frames, oldest first, the last 36,000. */
  readonly intervals: number[] = [];

  #lastAt: number | null = null;
  #presented: number | null = null;
  #recent: number[] = [];

  /** A frame was presented at `at` (ms); `presented` counts all frames that this video presented. */
  add(at: number, presented: number): void {
    const fresh = this.#presented === null ? 1 : Math.max(1, presented - this.#presented);
    this.frames += fresh;
    this.#presented = presented;
    if (this.#lastAt !== null) {
      // A busy page is told of several frames at once: they were not late.
      this.#addInterval((at - this.#lastAt) / fresh, fresh);
    }
    this.#lastAt = at;
  }

  /** The next frame is from another video, which counts its frames anew; the gap is a real one. */
  changeSource(): void {
    this.#presented = null;
  }

  /** The next frame has no predecessor: after a pause, or while nobody looked. */
  breakOff(): void {
    this.#lastAt = null;
    this.#presented = null;
  }

  /** Milliseconds since the last frame. */
  since(now: number): number | null {
    return this.#lastAt === null ? null : now - this.#lastAt;
  }

  #addInterval(interval: number, times: number): void {
    this.longestMs = Math.max(this.longestMs, interval);
    const mean = this.#recent.reduce((sum, value) => sum + value, 0) / this.#recent.length;
    // The rule of webrtc-stats for freezeCount.
    if (this.#recent.length > 0 && interval >= Math.max(3 * mean, mean + 150)) {
      this.freezes += 1;
      this.freezeMs += interval * times;
    }
    for (let count = 0; count < Math.min(times, MEAN_OVER); count += 1) {
      push(this.intervals, interval, KEPT);
      push(this.#recent, interval, MEAN_OVER);
    }
  }
}

function push(list: number[], value: number, longest: number): void {
  list.push(value);
  if (list.length > longest) {
    list.shift();
  }
}
