/** Keeps one stream playing: joins, shows, rejoins, moves to another session without a gap. */

import { GapTracker } from "../media/gaps";
import type { Receiving } from "../media/receiving";
import { Backoff, sleep } from "../wire/backoff";
import type { Notice } from "../wire/notices";
import { EdgeProblem, inWords, isRetryable } from "../wire/problem";
import { DelayMeter } from "./delay";
import { type Frame, type Stage, watchFrames } from "./stage";
import type { PlayerState, PlayerStats } from "./stats";
import type { OpenTransport, Transport, TransportState } from "./transport";

/** An answered session that does not connect by then never will. */
const CONNECT_MS = 8000;
/** So long without a frame is worth a word, and so long a new session. */
const QUIET_MS = 2000;
const STALLED_MS = 10_000;
/** How long the edge may hold back its answer while there is no publisher. */
const WAIT_S = 10;
/** Players that are told to move at once do it within this time. */
const MOVE_SPREAD_MS = 1000;

export interface PlayerObserver {
  onstate(state: PlayerState, words: string): void;
  onnotice(notice: Notice): void;
  /** The edge wants a (better) token. */
  ontoken(): void;
}

export class Player {
  readonly #backoff = new Backoff();
  readonly #gaps = new GapTracker();
  readonly #delay = new DelayMeter();
  readonly #joins: number[] = [];
  #run: AbortController | null = null;
  #state: PlayerState = "idle";
  #words = "";
  #transport: Transport | null = null;
  /** A session that is still seen while its successor starts. */
  #leaving: Transport | null = null;
  #layer: string | null = null;
  #receiving: Receiving | null = null;
  #live: boolean | null = null;
  #paused = false;
  #stream = "";

  constructor(
    private readonly stage: Stage,
    private readonly open: OpenTransport,
    private readonly observer: PlayerObserver,
  ) {
    document.addEventListener("visibilitychange", () => this.#gaps.breakOff());
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Play a stream; `startedAt` is when the person asked, on the clock of `performance.now()`. */
  play(stream: string, token: string | null, startedAt: number): void {
    this.stop();
    this.#stream = stream;
    this.#run = new AbortController();
    void this.#keepPlaying(token, startedAt, this.#run.signal);
  }

  stop(): void {
    this.#run?.abort();
    this.#run = null;
    this.#leaving?.stop();
    this.#transport?.stop();
    this.#transport = this.#leaving = null;
    this.#setState("idle", "");
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    this.#gaps.breakOff();
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
    await this.#transport?.selectLayer(rid);
    this.#layer = rid;
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
      sessionUrl: this.#transport?.sessionUrl ?? null,
      receiving: this.#receiving,
    };
  }

  /** Once a second: read figures and look for silence. */
  async tick(): Promise<void> {
    this.#receiving = (await this.#transport?.figures()) ?? this.#receiving;
    const quiet = this.#gaps.since(performance.now());
    if (this.#state === "playing" && quiet !== null && quiet > QUIET_MS && !document.hidden) {
      const away = this.#live === false;
      this.#setState(away ? "waiting" : "recovering", away ? "The studio is away" : "No picture");
    }
  }

  async #keepPlaying(token: string | null, startedAt: number, run: AbortSignal): Promise<void> {
    let since = startedAt;
    let waitS = 0;
    this.#backoff.reset();
    this.#setState("connecting", "Connecting");
    while (!run.aborted) {
      let delay: number;
      try {
        const moving = await this.#session(token, since, waitS, run);
        delay = moving ? Math.random() * MOVE_SPREAD_MS : this.#backoff.next();
      } catch (error) {
        if (run.aborted || !this.#mayRetry(error)) {
          return;
        }
        delay = this.#backoff.next(error instanceof EdgeProblem ? error.retryAfterS : 0);
        waitS = WAIT_S;
      }
      await sleep(delay, run);
      since = performance.now();
    }
  }

  /** One session, from offer to end; true if the edge asked to move to another. */
  async #session(
    token: string | null,
    since: number,
    waitS: number,
    run: AbortSignal,
  ): Promise<boolean> {
    const over = new AbortController();
    const video = this.stage.back;
    let moving = false;
    const transport = this.open(
      { stream: this.#stream, token, waitS },
      {
        onstate: (state, reason) => this.#transportChanged(state, reason, over),
        onnotice: (notice) => {
          if (notice.type === "reconnect") {
            moving = true;
            over.abort();
          }
          this.#noticed(notice);
        },
      },
    );
    const ended = AbortSignal.any([run, over.signal]);
    const connecting = setTimeout(() => over.abort(), CONNECT_MS);
    watchFrames(video, run, (frame) => this.#presented(transport, video, frame, since, connecting));
    try {
      await transport.start(video, run);
      this.#transport = transport;
      void this.stage.play(video);
      if (this.#layer !== null) {
        await transport.selectLayer(this.#layer).catch(() => undefined);
      }
      await sleep(2 ** 31 - 1, ended);
    } catch (error) {
      transport.stop();
      throw error;
    } finally {
      clearTimeout(connecting);
    }
    if (moving) {
      this.#leaving = transport;
    } else if (!run.aborted) {
      transport.stop();
    }
    return moving;
  }

  #presented(
    transport: Transport,
    video: HTMLVideoElement,
    frame: Frame,
    since: number,
    connecting: ReturnType<typeof setTimeout>,
  ): void {
    if (video === this.stage.back) {
      if (transport !== this.#transport) {
        return;
      }
      clearTimeout(connecting);
      this.stage.swap();
      this.#leaving?.stop();
      this.#leaving = null;
      this.#backoff.reset();
      this.#joins.push(frame.metadata.presentationTime - since);
    }
    this.#gaps.add(frame.metadata.presentationTime, frame.metadata.presentedFrames);
    this.#delay.add(video, frame);
    if (this.#state !== "playing" && !this.#paused) {
      this.#setState("playing", "");
    }
  }
}
