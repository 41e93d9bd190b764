/** A worker that tells when the next picture is due: its timers run on in a hidden tab. */

let beganAt = 0;
let ticks = 0;

addEventListener("message", ({ data: fps }: MessageEvent<number>) => {
  beganAt = performance.now();
  ticks = 0;
  schedule(fps);
});

function schedule(fps: number): void {
  const now = performance.now();
  // Pictures that are late by more than one are left out.
  ticks = Math.max(ticks + 1, Math.floor(((now - beganAt) * fps) / 1000));
  setTimeout(
    () => {
      postMessage(null);
      schedule(fps);
    },
    beganAt + (ticks * 1000) / fps - now,
  );
}
