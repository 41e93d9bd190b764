/** The player page: puts its parts together. */

import { element } from "../page/dom";
import { currentToken } from "../page/token";
import { Chooser } from "./chooser";
import { Controls } from "./controls";
import { LayerMenu } from "./layers";
import { Overlay } from "./overlay";
import { Player } from "./player";
import { Stage } from "./stage";
import type { PlayerStats } from "./stats";
import { StatusLine } from "./status";
import { WhepTransport } from "./whep";

declare global {
  interface Window {
    edgePlayer: { stats(): PlayerStats };
  }
}

const stage = new Stage([
  element("video-a", HTMLVideoElement),
  element("video-b", HTMLVideoElement),
]);
const status = new StatusLine();
const player = new Player(stage, (request, events) => new WhepTransport(request, events), {
  onstate(state, words) {
    status.show(state, words);
    controls.show(state);
  },
  onnotice(notice) {
    if (notice.type === "layers") {
      layers.show(notice.layers);
    } else if (notice.type === "viewercount") {
      status.showViewers(notice.viewers);
    }
  },
  onrefused: (error) => chooser.open(error),
});
const layers = new LayerMenu((rid) => player.selectLayer(rid));
const overlay = new Overlay(() => player.stats());
const controls = new Controls(stage, player, overlay);
const chooser = new Chooser((stream) => play(stream, performance.now()));

function play(stream: string, startedAt: number): void {
  document.title = `${stream} – live`;
  status.showStream(stream);
  layers.show([]);
  player.play(stream, currentToken(), startedAt);
}

function playFromAddress(startedAt: number): void {
  const stream = new URLSearchParams(location.search).get("stream");
  if (stream) {
    chooser.close();
    play(stream, startedAt);
  } else {
    player.stop();
    chooser.open(null);
  }
}

window.edgePlayer = { stats: () => player.stats() };
window.addEventListener("popstate", () => playFromAddress(performance.now()));
window.addEventListener("pagehide", () => player.stop());
window.addEventListener("pageshow", (event) => {
  // Back from the browser's page cache: the session was ended when the page left.
  if (event.persisted) {
    playFromAddress(performance.now());
  }
});
setInterval(() => {
  void player.tick().then(() => overlay.update());
}, 1000);
// The person asked when the page began to load.
playFromAddress(0);
