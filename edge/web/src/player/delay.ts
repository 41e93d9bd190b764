/** How old the picture is: from abs-capture-time where it is negotiated, or from the test card. */

import { CELLS, clockDelayMs, ROWS, readClock } from "../media/clock";
import type { Frame } from "./stage";

const CELL_PIXELS = 8;
const STRIP_HEIGHT = 4;
const READ_EVERY_MS = 500;
/** A picture without a clock this many times in a row is no test card: look less often. */
const MISSES = 6;
const LOOK_AGAIN_MS = 10_000;

export class DelayMeter {
  /** From capture to display, by abs-capture-time; right if both machines' clocks are. */
  captureMs: number | null = null;
  /** From the test card's clock to display; likewise. */
  cardMs: number | null = null;

  readonly #canvas = document.createElement("canvas");
  readonly #context = this.#canvas.getContext("2d", { willReadFrequently: true });
  #nextAt = 0;
  #misses = 0;

  constructor() {
    this.#canvas.width = CELLS * CELL_PIXELS;
    this.#canvas.height = STRIP_HEIGHT;
  }

  /** `capturedAt` gives the capture time of an RTP timestamp in Unix milliseconds, or null. */
  add(
    video: HTMLVideoElement,
    { now, metadata }: Frame,
    capturedAt: (rtpTimestamp: number) => number | null,
  ): void {
    if (now >= this.#nextAt) {
      const shown = this.#read(video);
      this.#misses = shown === null ? this.#misses + 1 : 0;
      this.#nextAt = now + (this.#misses > MISSES ? LOOK_AGAIN_MS : READ_EVERY_MS);
      const display = performance.timeOrigin + metadata.expectedDisplayTime;
      const captured =
        metadata.rtpTimestamp === undefined ? null : capturedAt(metadata.rtpTimestamp);
      this.captureMs = captured === null ? null : display - captured;
      this.cardMs = shown === null ? null : clockDelayMs(shown, display);
    }
  }

  #read(video: HTMLVideoElement): number | null {
    const { videoWidth: width, videoHeight: height } = video;
    if (this.#context === null || width === 0) {
      return null;
    }
    // The middle half of the clock's row: what lies at its edges is blurred by the codec.
    const row = height / ROWS;
    const { width: columns, height: rows } = this.#canvas;
    this.#context.drawImage(video, 0, row / 4, width, row / 2, 0, 0, columns, rows);
    return readClock(this.#context.getImageData(0, 0, columns, rows));
  }
}
