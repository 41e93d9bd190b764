/** Two videos on top of each other: the next picture is ready before the last one leaves. */

export interface Frame {
  /** When the page was told, on the clock of `performance.now()`. */
  readonly now: number;
  readonly metadata: VideoFrameCallbackMetadata;
}

export class Stage {
  #front: HTMLVideoElement;
  #back: HTMLVideoElement;

  constructor(videos: readonly [HTMLVideoElement, HTMLVideoElement]) {
    [this.#front, this.#back] = videos;
    this.#order();
  }

  /** The video that is seen. */
  get front(): HTMLVideoElement {
    return this.#front;
  }

  /** The video that a new session plays into. */
  get back(): HTMLVideoElement {
    return this.#back;
  }

  get muted(): boolean {
    return this.#front.muted;
  }

  /** Both at once, inside a gesture: Safari asks for one per element. */
  set muted(muted: boolean) {
    for (const video of [this.#front, this.#back]) {
      video.muted = muted;
    }
  }

  /** Let sound and picture begin; a browser that refuses sound gets the picture alone. */
  async play(video: HTMLVideoElement): Promise<void> {
    try {
      await video.play();
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotAllowedError" && !video.muted) {
        this.muted = true;
        await video.play().catch(() => undefined);
      }
    }
  }

  /** Show what plays in the back. */
  swap(): void {
    [this.#front, this.#back] = [this.#back, this.#front];
    this.#order();
    this.#back.pause();
    this.#back.srcObject = null;
  }

  #order(): void {
    this.#front.classList.add("front");
    this.#front.removeAttribute("aria-hidden");
    this.#back.classList.remove("front");
    this.#back.setAttribute("aria-hidden", "true");
  }
}

/** Call for every frame that a video presents, until the signal is aborted. */
export function watchFrames(
  video: HTMLVideoElement,
  signal: AbortSignal,
  call: (frame: Frame) => void,
): void {
  const next = (now: number, metadata: VideoFrameCallbackMetadata) => {
    if (signal.aborted) {
      return;
    }
    call({ now, metadata });
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
}
