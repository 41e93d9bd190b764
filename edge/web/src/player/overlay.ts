/** The figures of playback, on request. */

import { element, make, write } from "../page/dom";
import { bitrate, milliseconds, perSecond, resolution, share } from "../page/format";
import type { PlayerStats } from "./stats";

type Row = readonly [label: string, value: (stats: PlayerStats) => string];

const ROWS: readonly Row[] = [
  ["Join time", (stats) => milliseconds(stats.joinMs)],
  ["Picture", ({ receiving: r }) => (r ? resolution(r.width, r.height) : "–")],
  ["Layer", (stats) => stats.layer ?? "auto"],
  ["Codec", ({ receiving: r }) => r?.codec ?? "–"],
  ["Frames per second", ({ receiving: r }) => (r ? perSecond(r.fps) : "–")],
  ["Frames decoded", ({ receiving: r }) => String(r?.framesDecoded ?? "–")],
  ["Frames rendered", (stats) => String(stats.framesRendered)],
  ["Frames dropped", ({ receiving: r }) => String(r?.framesDropped ?? "–")],
  ["Freezes", (stats) => `${stats.freezes} (longest gap ${milliseconds(stats.longestGapMs)})`],
  ["Bit rate", ({ receiving: r }) => bitrate(r?.bitrateBps ?? null)],
  ["Round trip", ({ receiving: r }) => milliseconds(r?.rttMs ?? null)],
  ["Jitter buffer", ({ receiving: r }) => milliseconds(r?.jitterBufferMs ?? null)],
  ["Packets lost", ({ receiving: r }) => (r ? share(r.packetsLost, r.packetsReceived) : "–")],
  ["Capture to display", (stats) => milliseconds(stats.cardDelayMs ?? stats.captureDelayMs)],
  ["Transport", ({ receiving: r }) => r?.protocol?.toUpperCase() ?? "–"],
];

export class Overlay {
  readonly #list = element("figures", HTMLDListElement);
  readonly #values: Element[];

  constructor(private readonly stats: () => PlayerStats) {
    this.#values = ROWS.map(([label]) => {
      const value = make("dd");
      const row = make("div");
      row.append(make("dt", label), value);
      this.#list.append(row);
      return value;
    });
  }

  get open(): boolean {
    return !this.#list.hidden;
  }

  toggle(): void {
    this.#list.hidden = this.open;
    this.update();
  }

  update(): void {
    if (this.open) {
      const stats = this.stats();
      ROWS.forEach(([, value], index) => {
        const cell = this.#values[index];
        if (cell !== undefined) {
          write(cell, value(stats));
        }
      });
    }
  }
}
