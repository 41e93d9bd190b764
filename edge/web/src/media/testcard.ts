/** A test card on a canvas: the picture of `edge push --source testsrc`, with the same clock. */

import { CELLS, clockBits, ROWS } from "./clock";

const BARS = ["#bfbfbf", "#bfbf00", "#00bfbf", "#00bf00", "#bf00bf", "#bf0000", "#0000bf"];
const GRAINS = 7;
/** The bar sweeps over the picture once in this time. */
const SWEEP_MS = 4000;

export class TestCard {
  readonly canvas = document.createElement("canvas");
  readonly #context: CanvasRenderingContext2D;
  readonly #background: HTMLCanvasElement;
  readonly #grains: HTMLCanvasElement[];
  #drawn = 0;

  constructor(width: number, height: number) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.#context = contextOf(this.canvas, { alpha: false });
    this.#background = background(width, height);
    const rows = Math.floor((height * 21) / 24) - Math.floor((height * 20) / 24);
    this.#grains = Array.from({ length: GRAINS }, (_, index) => grain(width, rows, index + 1));
  }

  /** Show a time (Unix milliseconds). */
  draw(wallMs: number): void {
    const { width, height } = this.canvas;
    this.#context.drawImage(this.#background, 0, 0);
    this.#drawClock(wallMs, width, Math.floor(height / ROWS));
    this.#context.fillStyle = "#fff";
    const bar = Math.max(2, Math.floor(width / 40));
    const at = Math.floor(((wallMs % SWEEP_MS) / SWEEP_MS) * (width - bar));
    this.#context.fillRect(at, Math.floor((height * 4) / 12), bar, Math.floor((height * 2) / 12));
    // Grain that changes with every picture makes encoders use the bit rate they were given.
    const noise = this.#grains[this.#drawn % GRAINS];
    if (noise !== undefined) {
      this.#context.drawImage(noise, 0, Math.floor((height * 20) / 24));
    }
    this.#drawn += 1;
    this.#context.font = `${Math.floor(height / 10)}px ui-monospace, monospace`;
    this.#context.textAlign = "center";
    this.#context.textBaseline = "middle";
    const words = new Date(wallMs).toISOString().slice(11, 23);
    this.#context.fillText(words, width / 2, (height * 17) / 24);
  }

  #drawClock(wallMs: number, width: number, height: number): void {
    this.#context.fillStyle = "#000";
    this.#context.fillRect(0, 0, width, height);
    this.#context.fillStyle = "#fff";
    clockBits(wallMs).forEach((bit, index) => {
      if (bit === 1) {
        const left = Math.floor((width * index) / CELLS);
        const right = Math.floor((width * (index + 1)) / CELLS);
        this.#context.fillRect(left, 0, right - left, height);
      }
    });
  }
}

function background(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = contextOf(canvas);
  BARS.forEach((colour, index) => {
    const left = Math.floor((width * index) / BARS.length);
    context.fillStyle = colour;
    context.fillRect(left, 0, width - left, height);
  });
  context.fillStyle = "#000";
  context.fillRect(0, (height * 15) / 24, width, (height * 4) / 24);
  const ramp = context.createLinearGradient(0, 0, width, 0);
  ramp.addColorStop(0, "#000");
  ramp.addColorStop(1, "#fff");
  context.fillStyle = ramp;
  context.fillRect(0, (height * 21) / 24, width, height / 8);
  return canvas;
}

function grain(width: number, height: number, seed: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = Math.max(1, height);
  const context = contextOf(canvas);
  const pixels = context.createImageData(canvas.width, canvas.height);
  let state = seed * 2654435761;
  for (let at = 0; at < pixels.data.length; at += 4) {
    // A linear congruential generator: the same card on every run.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const level = 98 + ((state >>> 16) % 60);
    pixels.data.set([level, level, level, 255], at);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function contextOf(
  canvas: HTMLCanvasElement,
  settings?: CanvasRenderingContext2DSettings,
): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", settings);
  if (context === null) {
    throw new Error("This browser cannot draw");
  }
  return context;
}
