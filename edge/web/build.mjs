/** Bundles the pages into `dist`, or with `--tests` the unit tests into `build`. */

import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { build } from "esbuild";

const BROWSERS = ["chrome109", "firefox115", "safari16"];

async function pages() {
  await rm("dist", { recursive: true, force: true });
  await mkdir("dist/assets", { recursive: true });
  await build({
    entryPoints: {
      player: "src/player/main.ts",
      studio: "src/studio/main.ts",
      ticker: "src/studio/ticker.ts",
      ops: "src/ops/main.ts",
      style: "src/page/style.css",
    },
    outdir: "dist/assets",
    bundle: true,
    minify: true,
    sourcemap: true,
    format: "esm",
    target: BROWSERS,
    logLevel: "warning",
  });
  await cp("pages", "dist", { recursive: true });
}

async function tests() {
  await rm("build", { recursive: true, force: true });
  const names = (await readdir("test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: names.map((name) => `test/${name}`),
    outdir: "build/test",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

await (process.argv.includes("--tests") ? tests() : pages());
