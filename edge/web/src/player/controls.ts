/** Buttons and keys of the player. */

import { element, isForControl } from "../page/dom";
import type { Overlay } from "./overlay";
import type { Player } from "./player";
import type { Stage } from "./stage";
import type { PlayerState } from "./stats";

export class Controls {
  readonly #play = element("play", HTMLButtonElement);
  readonly #mute = element("mute", HTMLButtonElement);
  readonly #sound = element("sound", HTMLButtonElement);
  readonly #full = element("fullscreen", HTMLButtonElement);
  readonly #stats = element("stats", HTMLButtonElement);
  readonly #frame = element("frame", HTMLElement);

  constructor(
    private readonly stage: Stage,
    private readonly player: Player,
    private readonly overlay: Overlay,
  ) {
    this.#play.addEventListener("click", () => this.#togglePlay());
    this.#mute.addEventListener("click", () => this.#setMuted(!stage.muted));
    this.#sound.addEventListener("click", () => this.#setMuted(false));
    this.#full.addEventListener("click", () => this.#toggleFullscreen());
    this.#stats.addEventListener("click", () => this.#toggleStats());
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("fullscreenchange", () => {
      this.#full.ariaPressed = String(document.fullscreenElement !== null);
    });
    this.#setMuted(true);
  }

  show(state: PlayerState): void {
    const paused = state === "paused";
    this.#play.ariaLabel = paused ? "Play" : "Pause";
    this.#play.dataset.icon = paused ? "play" : "pause";
    this.#play.disabled = state === "idle" || state === "failed";
    this.#sound.hidden = !(this.stage.muted && state === "playing");
  }

  #key(event: KeyboardEvent): void {
    if (isForControl(event)) {
      return;
    }
    const onButton = event.target instanceof HTMLButtonElement;
    const actions: Readonly<Record<string, () => void>> = {
      k: () => this.#togglePlay(),
      m: () => this.#setMuted(!this.stage.muted),
      f: () => this.#toggleFullscreen(),
      s: () => this.#toggleStats(),
      // A space on a button presses the button.
      ...(onButton ? {} : { " ": () => this.#togglePlay() }),
    };
    const action = actions[event.key.toLowerCase()];
    if (action !== undefined) {
      event.preventDefault();
      action();
    }
  }

  #togglePlay(): void {
    if (!this.#play.disabled) {
      this.player.setPaused(!this.player.paused);
    }
  }

  #setMuted(muted: boolean): void {
    this.stage.muted = muted;
    this.#mute.ariaLabel = muted ? "Unmute" : "Mute";
    this.#mute.dataset.icon = muted ? "muted" : "sound";
    if (!muted) {
      const hadFocus = document.activeElement === this.#sound;
      this.#sound.hidden = true;
      if (hadFocus) {
        this.#mute.focus();
      }
    }
  }

  #toggleStats(): void {
    this.overlay.toggle();
    this.#stats.ariaPressed = String(this.overlay.open);
  }

  #toggleFullscreen(): void {
    if (document.fullscreenElement !== null) {
      void document.exitFullscreen();
    } else if (this.#frame.requestFullscreen) {
      this.#frame.requestFullscreen().catch(() => undefined);
    } else {
      // iPhones show only videos on the full screen.
      (this.stage.front as { webkitEnterFullscreen?(): void }).webkitEnterFullscreen?.();
    }
  }
}
