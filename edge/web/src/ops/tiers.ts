/** Five buttons for the five tiers. */

import { make } from "../page/dom";

export type SetTier = (stream: string | null, tier: number) => void;

const TIERS = [0, 1, 2, 3, 4];

export class TierButtons {
  readonly element = make("div", "", { class: "tiers", role: "group" });
  readonly #buttons: readonly HTMLButtonElement[];

  constructor(label: string, choose: (tier: number) => void) {
    this.element.ariaLabel = label;
    this.#buttons = TIERS.map((tier) => {
      const button = make("button", String(tier), { type: "button", "aria-pressed": "false" });
      button.ariaLabel = `Tier ${tier}`;
      button.addEventListener("click", () => choose(tier));
      return button;
    });
    this.element.append(...this.#buttons);
  }

  /** Mark the tier in force; null where there is no single one. */
  show(tier: number | null): void {
    this.#buttons.forEach((button, index) => {
      button.ariaPressed = String(index === tier);
    });
  }
}
