#!/usr/bin/env bash
# Pin every Python package with hashes and without addresses, from what pyproject.toml asks for.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
"$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
  --custom-compile-command scripts/lock.sh pyproject.toml --group build -o requirements/run.lock
"$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
  --custom-compile-command scripts/lock.sh -c requirements/run.lock pyproject.toml --group build --group dev -o requirements/dev.lock
