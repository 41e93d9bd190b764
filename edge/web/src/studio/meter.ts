/** The input level, as a bar and in decibels. */

import { element, write } from "../page/dom";

const FLOOR_DB = -60;
const EVERY_MS = 100;

export class LevelMeter {
  readonly #meter = element("level", HTMLMeterElement);
  readonly #text = element("level-text", HTMLElement);
  #timer: ReturnType<typeof setInterval> | undefined;
  #source: MediaStreamAudioSourceNode | null = null;

  constructor(private readonly audio: AudioContext) {}

  /** Measure a stream's sound; without any the bar stays empty. */
  watch(media: MediaStream): void {
    this.stop();
    if (media.getAudioTracks().length === 0) {
      write(this.#text, "no sound");
      return;
    }
    const analyser = this.audio.createAnalyser();
    const samples = new Float32Array(analyser.fftSize);
    this.#source = this.audio.createMediaStreamSource(media);
    this.#source.connect(analyser);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this.#show(levelDb(samples));
    }, EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#source?.disconnect();
    this.#source = null;
    this.#show(FLOOR_DB);
  }

  #show(db: number): void {
    this.#meter.value = Math.max(FLOOR_DB, db);
    write(this.#text, db <= FLOOR_DB ? "silent" : `${Math.round(db)} dB`);
  }
}

/** Root mean square against full scale, in decibels; silence is minus infinity. */
export function levelDb(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) {
    sum += sample * sample;
  }
  return 10 * Math.log10(sum / samples.length);
}
