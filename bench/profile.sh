#!/bin/sh
# Where the edge's time goes under load: `perf record -g` of its process as text.
# Usage: bench/profile.sh [options of bench.steady, such as --players 200 --burst spaced --edge "..."]
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
seconds="${SECONDS_RECORDED:-10}"
data="$(mktemp)"
trap 'rm -f "$data"' EXIT
"$python" -m bench.steady --seconds "$((seconds + 15))" "$@" -- \
    perf record -q -e cpu-clock -F 999 -g -p '{pid}' -o "$data" -- sleep "$seconds"
out="bench/results/profile.txt"
{
    echo "# $(date -u '+%Y-%m-%d %H:%M UTC'), $(uname -r), commit $(git rev-parse --short HEAD)"
    echo "# bench/profile.sh $*"
    echo "# cpu-clock samples of the server's process, $seconds s; self time by symbol, then by library, then callers"
    perf report -i "$data" --stdio --no-children -g none --percent-limit 0.5 2>/dev/null | grep -v '^#' | grep -v '^$' || true
    echo
    perf report -i "$data" --stdio --no-children -g none --sort dso --percent-limit 0.5 2>/dev/null | grep -v '^#' | grep -v '^$' || true
    echo
    perf report -i "$data" --stdio --children -g caller,0.5,callee --percent-limit 4 --max-stack 12 2>/dev/null \
        | grep -v '^#' | grep -v '^$' | cut -c1-160 | head -150 || true
} > "$out"
echo "written: $out"
