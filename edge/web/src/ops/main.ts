/** The dashboard: what this edge carries, and tiers. */

import { element, write } from "../page/dom";
import { currentToken, keepToken } from "../page/token";
import { listSessions, listStreams, setTier } from "../wire/operations";
import { EdgeProblem, inWords } from "../wire/problem";
import { sessionRows, streamRows } from "./rows";
import { TierButtons } from "./tiers";

const EVERY_MS = 2000;

const badge = element("badge", HTMLElement);
const summary = element("summary", HTMLElement);
const reason = element("reason", HTMLElement);
const done = element("done", HTMLElement);
const login = element("login", HTMLFormElement);
const token = element("token", HTMLInputElement);
const pause = element("pause", HTMLButtonElement);
const streams = streamRows(element("streams", HTMLTableSectionElement), choose);
const sessions = sessionRows(element("sessions", HTMLTableSectionElement));
const allTiers = new TierButtons("Tier of all streams", (tier) => choose(null, tier));
let paused = false;

async function refresh(): Promise<void> {
  const [streamList, sessionList] = await Promise.all([
    listStreams(currentToken()),
    listSessions(currentToken()),
  ]);
  streams.show(streamList, "No streams");
  sessions.show(sessionList, "No sessions");
  const tiers = new Set(streamList.map(({ tier }) => tier));
  allTiers.show(tiers.size === 1 ? ([...tiers][0] ?? null) : null);
  const players = sessionList.filter(({ role }) => role === "subscriber").length;
  write(summary, `${counted(streamList.length, "stream")}, ${counted(players, "player")}`);
}

async function refreshOrSay(): Promise<void> {
  try {
    await refresh();
    say("live", "Up to date", "");
    login.hidden = true;
  } catch (error) {
    const asks = error instanceof EdgeProblem && [401, 403].includes(error.status);
    say(asks ? "failed" : "recovering", asks ? "Token needed" : "No answer", inWords(error));
    if (asks && login.hidden) {
      login.hidden = false;
      token.focus();
    }
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function choose(stream: string | null, tier: number): void {
  setTier(currentToken(), stream, tier)
    .then(() => {
      write(done, `Tier ${tier} is set for ${stream ?? "all streams"}.`);
      return refreshOrSay();
    })
    .catch((error: unknown) => write(done, `Tier ${tier} was not set: ${inWords(error)}`));
}

function say(state: string, label: string, words: string): void {
  badge.dataset.state = state;
  write(badge, label);
  write(reason, words);
  reason.hidden = words === "";
}

async function keepRefreshing(): Promise<void> {
  if (!paused && !document.hidden) {
    await refreshOrSay();
  }
  setTimeout(() => void keepRefreshing(), EVERY_MS);
}

element("all-tiers", HTMLElement).append(allTiers.element);
login.addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(token.value);
  void refreshOrSay();
});
pause.addEventListener("click", () => {
  paused = !paused;
  pause.ariaPressed = String(paused);
});
void keepRefreshing();
