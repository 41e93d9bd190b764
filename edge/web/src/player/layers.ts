/** The menu of layers: automatic, or one that the studio sends. */

import { element, make } from "../page/dom";
import { bitrate } from "../page/format";
import type { VideoLayer } from "../wire/notices";

const AUTO = "";

export class LayerMenu {
  readonly #select = element("layer", HTMLSelectElement);
  #chosen = AUTO;

  constructor(choose: (rid: string | null) => Promise<void>) {
    this.#select.addEventListener("change", () => {
      const before = this.#chosen;
      this.#chosen = this.#select.value;
      choose(this.#chosen === AUTO ? null : this.#chosen).catch(() => {
        this.#chosen = this.#select.value = before;
      });
    });
  }

  /** Show the layers there are; a chosen one that has gone leaves the choice to the edge. */
  show(layers: readonly VideoLayer[]): void {
    const named = layers.filter((layer) => layer.rid !== "");
    if (!named.some((layer) => layer.rid === this.#chosen)) {
      this.#chosen = AUTO;
    }
    const options = [
      make("option", "Auto", { value: AUTO }),
      ...named.map((layer) => {
        const option = make("option", describe(layer), { value: layer.rid });
        option.disabled = layer.bitrate === 0;
        return option;
      }),
    ];
    if (!sameOptions(this.#select, options)) {
      this.#select.replaceChildren(...options);
    }
    this.#select.value = this.#chosen;
    this.#select.disabled = named.length < 2;
  }
}

function describe(layer: VideoLayer): string {
  const size = layer.height > 0 ? `${layer.height}p` : layer.rid;
  return layer.bitrate > 0 ? `${size}, ${bitrate(layer.bitrate)}` : `${size}, not sent`;
}

/** An open menu must not be rebuilt under the person's finger without need. */
function sameOptions(select: HTMLSelectElement, options: readonly HTMLOptionElement[]): boolean {
  const now = [...select.options];
  return (
    now.length === options.length &&
    now.every((one, index) => one.isEqualNode(options[index] ?? null))
  );
}
