/** Keeps one stream playing: joins, shows, rejoins, moves to another session without a gap. */

import { GapTracker } from "../media/gaps";
import type { Receiving } from "../media/receiving";
import { Backoff, sleep } from "../wire/backoff";
import type { Notice } from "../wire/notices";
import { EdgeProblem, inWords, isRetryable } from "../wire/problem";
import { DelayMeter } from "./delay";
import { Session, type SessionObserver } from "./session";
import type { Frame, Stage } from "./stage";
import type { PlayerState, PlayerStats } from "./stats";
import type { OpenTransport, TransportState } from "./transport";

/** So long without a frame is worth a word. */
const QUIET_MS = 2000;
/** How long the edge may hold back its answer while there is no publisher. */
const WAIT_S = 10;
/** Players who are told to move all at once do it within this time. */
const MOVE_SPREAD_MS = 1000;

export interface PlayerObserver {
  onstate(state: PlayerState, words: string): void;
  onnotice(notice: Notice): void;
  /** Refused for good; nothing happens until the person changes something. */
  onrefused(error: unknown): void;
}

export class Player implements SessionObserver {
  readonly #backoff = new Backoff();
  readonly #delay = new DelayMeter();
  #gaps = new GapTracker();
  #joins: number[] = [];
  #run: AbortController | null = null;
  #state: PlayerState = "idle";
  #words = "";
  /** The newest session, and the one that is seen: the same once it has shown a frame. */
  #newest: Session | null = null;
  #seen: Session | null = null;
  #since = 0;
  #layer: string | null = null;
  #receiving: Receiving | null = null;
  #stream = "";

  constructor(
    private readonly stage: Stage,
    private readonly open: OpenTransport,
    private readonly observer: PlayerObserver,
  ) {
    document.addEventListener("visibilitychange", () => this.#forgive());
  }

  /** Play a stream; `startedAt` is when the person asked, on the clock of `performance.now()`. */
  play(stream: string, token: string | null, startedAt: number): void {
    this.stop();
    this.#stream = stream;
    this.#since = startedAt;
    this.#gaps = new GapTracker();
    this.#joins = [];
    this.#layer = null;
    this.#run = new AbortController();
    void this.#keepPlaying(token, this.#run.signal);
  }

  /** End the session; also usable while the page goes away. */
  stop(): void {
    this.#run?.abort();
    this.#run = null;
    this.#newest?.stop();
    this.#seen?.stop();
    this.#newest = this.#seen = null;
    this.#setState("idle", "");
  }

  get paused(): boolean {
    return this.#state === "paused";
  }

  setPaused(paused: boolean): void {
    this.#forgive();
    if (paused) {
      this.stage.front.pause();
      this.#setState("paused", "");
    } else {
      void this.stage.play(this.stage.front);
      this.#setState("connecting", "Resuming");
    }
  }

  /** Choose a layer by RID for this and later sessions; null is the edge's choice. */
  async selectLayer(rid: string | null): Promise<void> {
    await this.#newest?.transport.selectLayer(rid);
    this.#layer = rid;
  }

  /** Once a second: read figures and look for silence. */
  async tick(): Promise<void> {
    const now = performance.now();
    const watched = !document.hidden && !this.paused;
    if (watched && this.#newest !== null) {
      this.#newest.check(now);
      const quiet = this.#gaps.since(now);
      if (this.#state === "playing" && quiet !== null && quiet > QUIET_MS) {
        this.#say(this.#newest);
      }
    } else {
      this.#newest?.forgive();
    }
    this.#receiving = (await this.#seen?.transport.figures()) ?? this.#receiving;
  }

  /** What is known now. */
  stats(): PlayerStats {
    return {
      state: this.#state,
      words: this.#words,
      stream: this.#stream,
      joinMs: this.#joins[0] ?? null,
      joins: [...this.#joins],
      framesRendered: this.#gaps.frames,
      gaps: [...this.#gaps.intervals],
      freezes: this.#gaps.freezes,
      freezeMs: this.#gaps.freezeMs,
      longestGapMs: this.#gaps.longestMs,
      captureDelayMs: this.#delay.captureMs,
      cardDelayMs: this.#delay.cardMs,
      layer: this.#layer,
      sessionUrl: this.#newest?.transport.sessionUrl ?? null,
      receiving: this.#receiving,
    };
  }

  onframe(session: Session, { now, metadata }: Frame): void {
    if (session !== this.#seen) {
      this.stage.swap();
      this.#seen?.stop();
      this.#seen = session;
      this.#gaps.changeSource();
      this.#backoff.reset();
      this.#joins.push(metadata.expectedDisplayTime - this.#since);
    }
    this.#gaps.add(metadata.presentationTime, metadata.presentedFrames);
    this.#delay.add(session.video, { now, metadata }, (rtp) => session.transport.capturedAt(rtp));
    if (!this.paused) {
      this.#setState("playing", "");
    }
  }

  onstate(_session: Session, state: TransportState, reason: string): void {
    if (this.#run !== null && !this.paused && (state === "recovering" || state === "lost")) {
      this.#setState("recovering", `Rejoining: ${reason}`);
    }
  }

  onnotice(session: Session, notice: Notice): void {
    if (notice.type === "inactive" && !this.paused) {
      this.#say(session);
    }
    if (session === this.#newest) {
      this.observer.onnotice(notice);
    }
  }

  async #keepPlaying(token: string | null, run: AbortSignal): Promise<void> {
    this.#backoff.reset();
    this.#setState("connecting", "Connecting");
    for (let waitS = 0; !run.aborted; this.#since = performance.now()) {
      const request = { stream: this.#stream, token, waitS };
      const session = new Session(this.stage.back, this.open, request, this);
      this.#newest = session;
      try {
        await session.start();
        void this.stage.play(session.video);
        await this.#chooseAgain(session);
        await session.ended();
        const spread = session.moving ? Math.random() * MOVE_SPREAD_MS : this.#backoff.next();
        await sleep(spread, run);
      } catch (error) {
        if (run.aborted || this.#refused(error)) {
          return;
        }
        await sleep(this.#backoff.next(error instanceof EdgeProblem ? error.retryAfterS : 0), run);
        waitS = WAIT_S;
      }
    }
  }

  async #chooseAgain(session: Session): Promise<void> {
    if (this.#layer !== null) {
      // The layer may be gone: then the edge chooses.
      await session.transport.selectLayer(this.#layer).catch(() => undefined);
    }
  }

  #refused(error: unknown): boolean {
    if (isRetryable(error)) {
      // While the session before still shows its picture there is nothing to say.
      const quiet = this.#gaps.since(performance.now());
      if (!this.paused && (quiet === null || quiet > QUIET_MS)) {
        const waiting = error instanceof EdgeProblem && error.code === "stream_not_found";
        this.#setState(waiting ? "waiting" : "recovering", `${inWords(error)} Trying again.`);
      }
      return false;
    }
    this.#setState("failed", inWords(error));
    this.observer.onrefused(error);
    return true;
  }

  #say(session: Session): void {
    if (session.live === false) {
      this.#setState("waiting", "The studio is away. The picture comes back by itself.");
    } else {
      this.#setState("recovering", "No picture for a moment");
    }
  }

  #forgive(): void {
    this.#gaps.breakOff();
    this.#newest?.forgive();
  }

  #setState(state: PlayerState, words: string): void {
    if (state !== this.#state || words !== this.#words) {
      this.#state = state;
      this.#words = words;
      this.observer.onstate(state, words);
    }
  }
}
