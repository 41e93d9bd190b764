/** What is going on, in words: over the picture, and for screen readers. */

import { element, write } from "../page/dom";
import type { PlayerState } from "./stats";

const LABELS: Readonly<Record<PlayerState, string>> = {
  idle: "Not connected",
  connecting: "Connecting",
  playing: "Live",
  waiting: "Waiting",
  recovering: "Rejoining",
  paused: "Paused",
  failed: "Stopped",
};

export class StatusLine {
  readonly #badge = element("badge", HTMLElement);
  readonly #message = element("message", HTMLElement);
  readonly #stream = element("stream-name", HTMLElement);
  readonly #viewers = element("viewers", HTMLElement);

  show(state: PlayerState, words: string): void {
    this.#badge.dataset.state = state;
    write(this.#badge, LABELS[state]);
    write(this.#message, words);
    this.#message.hidden = words === "";
  }

  showStream(stream: string): void {
    write(this.#stream, stream);
  }

  showViewers(viewers: number): void {
    write(this.#viewers, viewers === 1 ? "1 viewer" : `${viewers} viewers`);
  }
}
