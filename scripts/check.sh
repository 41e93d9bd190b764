#!/usr/bin/env bash
# All linters and type checkers; every one runs, and the last line says whether all were content.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH
status=0
run() {
  echo "==> $*"
  "$@" || { status=1; echo "    not content: $1"; }
}
run ruff check .
run ruff format --check .
run mypy
run lint-imports
(cd edge/dataplane && run cargo fmt --check && run cargo clippy --locked --all-targets --features python -- -D warnings && exit $status) || status=1
(cd edge/web && run npm run --silent check && exit $status) || status=1
[ $status = 0 ] && echo "all content" || echo "see above"
exit $status
