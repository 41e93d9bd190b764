#!/usr/bin/env bash
# Pin every Python package with hashes and without addresses, from what pyproject.toml asks for.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
"$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
  --custom-compile-command scripts/lock.sh pyproject.toml --group build -o requirements/run.lock
"$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
  --custom-compile-command scripts/lock.sh -c requirements/run.lock pyproject.toml --group build --group dev -o requirements/dev.lock

# npm writes download addresses into its lock files; versions and hashes are what must be kept.
for directory in edge/web tests/interop/node tests/interop/browser; do
  [ -f "$directory/package.json" ] || continue
  (cd "$directory" && npm install --package-lock-only --no-audit --no-fund --omit-lockfile-registry-resolved=false)
  node -e '
    const fs = require("fs"), file = process.argv[1];
    const lock = JSON.parse(fs.readFileSync(file, "utf8"));
    for (const entry of Object.values(lock.packages)) delete entry.resolved;
    fs.writeFileSync(file, JSON.stringify(lock, null, 2) + "\n");
  ' "$directory/package-lock.json"
done
