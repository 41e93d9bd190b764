/** Bundles the pages into `dist`, or with `--tests` the unit tests into `node_modules/.cache`. */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
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
  for (const page of await readdir("pages")) {
    await writeFile(`dist/${page}`, await versioned(await readFile(`pages/${page}`, "utf8")));
  }
}

/** Name each asset with a digest of what is in it: a browser never mixes two versions. */
async function versioned(html) {
  let result = html;
  for (const [path] of html.matchAll(/(?<=")\/assets\/[\w.]+(?=")/g)) {
    const digest = createHash("sha256").update(await readFile(`dist${path}`));
    result = result.replace(`"${path}"`, `"${path}?v=${digest.digest("hex").slice(0, 12)}"`);
  }
  return result;
}

async function tests() {
  await rm("node_modules/.cache/pages", { recursive: true, force: true });
  const names = (await readdir("test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: names.map((name) => `test/${name}`),
    outdir: "node_modules/.cache/pages",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

await (process.argv.includes("--tests") ? tests() : pages());
