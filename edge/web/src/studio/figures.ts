/** Live figures of what is sent. */

import { element, make, write } from "../page/dom";
import { bitrate, duration, milliseconds, perSecond, resolution } from "../page/format";
import type { PublisherStats } from "./publisher";

export class Figures {
  readonly #rows = element("layers", HTMLTableSectionElement);
  readonly #rtt = element("rtt", HTMLElement);
  readonly #available = element("available", HTMLElement);
  readonly #codec = element("sent-codec", HTMLElement);
  readonly #audio = element("audio-rate", HTMLElement);
  readonly #lost = element("lost", HTMLElement);
  readonly #time = element("on-air", HTMLElement);

  show({ sending, liveSince }: PublisherStats): void {
    write(this.#rtt, milliseconds(sending?.rttMs ?? null));
    write(this.#available, bitrate(sending?.availableBps ?? null));
    write(this.#codec, sending?.codec ?? "–");
    write(this.#audio, bitrate(sending?.audioBitrateBps ?? null));
    write(this.#lost, String(sending?.packetsLost ?? "–"));
    const seconds = liveSince === null ? null : (performance.now() - liveSince) / 1000;
    write(this.#time, seconds === null ? "–" : duration(seconds));
    this.#rows.replaceChildren(
      ...(sending?.layers ?? []).map((layer) =>
        row(
          layer.rid || "single",
          resolution(layer.width, layer.height),
          perSecond(layer.fps),
          bitrate(layer.bitrateBps),
          `${layer.nacks} / ${layer.keyFrameRequests}`,
          layer.limitedBy === "none" ? "–" : layer.limitedBy,
        ),
      ),
    );
  }
}

function row(head: string, ...cells: string[]): HTMLTableRowElement {
  const made = make("tr");
  made.append(make("th", head, { scope: "row" }), ...cells.map((cell) => make("td", cell)));
  return made;
}
