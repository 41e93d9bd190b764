/** Rows of the tables. They are changed in place, so that buttons keep the focus. */

import { make, write } from "../page/dom";
import { bitrate, duration, perSecond, resolution } from "../page/format";
import type { LayerRow, SessionRow, StreamRow } from "../wire/operations";
import { type SetTier, TierButtons } from "./tiers";

/** Keeps one row per key, in the order given. */
export class Rows<T> {
  readonly #rows = new Map<string, Row>();

  constructor(
    private readonly body: HTMLTableSectionElement,
    private readonly columns: number,
    private readonly key: (item: T) => string,
    private readonly cells: (item: T) => readonly string[],
    private readonly extra: ((item: T) => Extra<T>) | null = null,
  ) {}

  show(items: readonly T[], empty: string): void {
    const present = new Set(items.map(this.key));
    for (const [key, row] of this.#rows) {
      if (!present.has(key)) {
        row.element.remove();
        this.#rows.delete(key);
      }
    }
    this.body.querySelector(".empty")?.remove();
    if (items.length === 0) {
      const cell = make("td", empty, { colspan: String(this.columns), class: "quiet" });
      const row = make("tr", "", { class: "empty" });
      row.append(cell);
      this.body.append(row);
    }
    for (const item of items) {
      const row = this.#rows.get(this.key(item)) ?? this.#add(item);
      this.cells(item).forEach((text, index) => {
        const cell = row.cells[index];
        if (cell !== undefined) {
          write(cell, text);
        }
      });
      (row.extra as Extra<T> | null)?.update(item);
    }
  }

  #add(item: T): Row {
    const cells = this.cells(item).map((_, index) =>
      index === 0 ? make("th", "", { scope: "row" }) : make("td"),
    );
    const extra = this.extra?.(item) ?? null;
    const element = make("tr");
    element.append(...cells);
    if (extra !== null) {
      const cell = make("td");
      cell.append(extra.element);
      element.append(cell);
    }
    this.body.append(element);
    const row = { element, cells, extra };
    this.#rows.set(this.key(item), row);
    return row;
  }
}

interface Row {
  readonly element: HTMLTableRowElement;
  readonly cells: readonly HTMLElement[];
  readonly extra: unknown;
}

interface Extra<T> {
  readonly element: HTMLElement;
  update(item: T): void;
}

export function streamRows(body: HTMLTableSectionElement, set: SetTier): Rows<StreamRow> {
  return new Rows<StreamRow>(
    body,
    6,
    ({ stream }) => stream,
    (row) => [
      row.stream,
      row.state ?? "–",
      String(row.viewers ?? "–"),
      (row.tracks ?? []).map(({ codec }) => codec).join(", ") || "–",
      (row.layers ?? []).map(describe).reverse().join("\n") || "–",
    ],
    ({ stream }) => {
      const buttons = new TierButtons(`Tier of ${stream}`, (tier) => set(stream, tier));
      return { element: buttons.element, update: ({ tier }) => buttons.show(tier ?? null) };
    },
  );
}

export function sessionRows(body: HTMLTableSectionElement): Rows<SessionRow> {
  return new Rows<SessionRow>(
    body,
    7,
    ({ session, stream }) => `${stream} ${session}`,
    (row) => [
      row.session,
      row.stream,
      [row.role, row.protocol?.toUpperCase()].filter(Boolean).join(", ") || "–",
      row.state ?? "–",
      row.age_s === undefined ? "–" : duration(row.age_s),
      row.path ? [row.path].flat().join(" ") : "–",
      row.layer || "–",
    ],
  );
}

function describe(layer: LayerRow): string {
  const size = resolution(layer.width, layer.height);
  const name = layer.rid === "" ? size : `${layer.rid} ${size}`;
  return layer.active
    ? `${name} ${bitrate(layer.bitrate_bps)} ${perSecond(layer.fps)} fps`
    : `${name} off`;
}
