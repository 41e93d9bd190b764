/** One session of the player, from its offer to its end. */

import type { Notice } from "../wire/notices";
import { type Frame, watchFrames } from "./stage";
import type { OpenTransport, Transport, TransportRequest, TransportState } from "./transport";

/** An answered session that does not connect by then never will. */
const CONNECT_MS = 8000;
/** Without a frame for so long, although the studio sends: a new session is worth trying. */
const STALLED_MS = 10_000;

export interface SessionObserver {
  onframe(session: Session, frame: Frame): void;
  onstate(session: Session, state: TransportState, reason: string): void;
  onnotice(session: Session, notice: Notice): void;
}

export class Session {
  readonly transport: Transport;
  /** The edge asked to move: the picture stays until the next session has one. */
  moving = false;
  /** Whether the studio sends, as far as the edge has said. */
  live: boolean | null = null;

  readonly #watching = new AbortController();
  #end: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });
  #connecting: ReturnType<typeof setTimeout> | undefined;
  #progressAt = performance.now();

  constructor(
    readonly video: HTMLVideoElement,
    open: OpenTransport,
    request: TransportRequest,
    private readonly observer: SessionObserver,
  ) {
    this.transport = open(request, {
      onstate: (state, reason) => this.#changed(state, reason),
      onnotice: (notice) => this.#noticed(notice),
    });
    watchFrames(video, this.#watching.signal, (frame) => {
      this.#progressAt = performance.now();
      observer.onframe(this, frame);
    });
  }

  /** Ask the edge for media. Throws what the transport throws. */
  async start(): Promise<void> {
    try {
      await this.transport.start(this.video, this.#watching.signal);
      this.#connecting = setTimeout(() => this.#fail("the media cannot get through"), CONNECT_MS);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Resolves when the session is lost, stopped, or told to move. */
  ended(): Promise<void> {
    return this.#ended;
  }

  /** End it here and at the edge. Idempotent. */
  stop(): void {
    clearTimeout(this.#connecting);
    this.#watching.abort();
    this.transport.stop();
    this.#end();
  }

  /** Forgive silence until now: the person paused, or did not look. */
  forgive(): void {
    this.#progressAt = performance.now();
  }

  /** Give up a session that has been silent for too long. */
  check(now: number): void {
    if (this.live !== false && now - this.#progressAt > STALLED_MS) {
      this.#fail("there is no picture");
    }
  }

  #changed(state: TransportState, reason: string): void {
    if (state === "connected") {
      clearTimeout(this.#connecting);
    }
    this.observer.onstate(this, state, reason);
    if (state === "lost") {
      this.stop();
    }
  }

  #noticed(notice: Notice): void {
    if (notice.type === "active" || notice.type === "inactive") {
      this.live = notice.type === "active";
      this.forgive();
    }
    this.observer.onnotice(this, notice);
    if (notice.type === "reconnect") {
      this.moving = true;
      this.#end();
    }
  }

  #fail(reason: string): void {
    this.observer.onstate(this, "lost", reason);
    this.stop();
  }
}
