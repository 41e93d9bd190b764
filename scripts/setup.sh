#!/usr/bin/env bash
# Set up everything on a fresh machine, with progress shown; does nothing twice.
#
#   scripts/setup.sh run     what `make run` needs: Python packages, data plane, pages
#   scripts/setup.sh test    that, and what the tests need: developer packages, counterparts
#   scripts/setup.sh peers   what the benchmarks compare with (Debian packages)
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:-run}
venv=.venv
stamps=$venv/stamps
started=$SECONDS

step() { printf '==> [%3ds] %s\n' "$((SECONDS - started))" "$*"; }
need() {
  command -v "$1" >/dev/null || {
    echo "setup: $1 is missing: $2" >&2
    exit 1
  }
}
digest() { cat "$@" | sha256sum | cut -c1-32; }
fresh() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }
stamp() { mkdir -p "$stamps" && printf '%s' "$2" >"$stamps/$1"; }
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    step "not installed (no root or no apt-get), tests that need them will say so: ${missing[*]}"
    return 0
  fi
  step "Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update || true
  quietly apt-get install -y --no-install-recommends "${missing[@]}" \
    || step "some could not be installed; tests that need them will say so"
}

python() {
  need python3 "install Python 3.11 or newer with the venv module"
  if [ ! -x $venv/bin/python ]; then
    step "Python environment in $venv"
    python3 -m venv $venv
  fi
  local lock=requirements/run.lock key
  [ "$goal" = run ] || lock=requirements/dev.lock
  key=$(digest $lock)
  if ! fresh dev "$key" && ! fresh "$(basename $lock .lock)" "$key"; then
    step "Python packages ($(grep -c '==' $lock), with hashes)"
    quietly $venv/bin/pip install --require-hashes -r $lock
    stamp "$(basename $lock .lock)" "$key"
  fi
}

dataplane() {
  local key
  key=$(find edge/dataplane/src edge/dataplane/Cargo.toml edge/dataplane/Cargo.lock -type f | sort | xargs sha256sum | digest)
  fresh dataplane "$key" && [ -e "$(echo edge/_dataplane*.so | cut -d' ' -f1)" ] && return 0
  need cargo "install Rust (rustup or your distribution), 1.89 or newer"
  step "data plane (Rust, release build, about a minute)"
  VIRTUAL_ENV=$PWD/$venv PATH=$PWD/$venv/bin:$PATH quietly $venv/bin/maturin develop --release --locked --skip-install --quiet 2>/dev/null \
    || VIRTUAL_ENV=$PWD/$venv PATH=$PWD/$venv/bin:$PATH quietly $venv/bin/maturin develop --release --locked
  stamp dataplane "$key"
}

pages() {
  local key
  key=$(find edge/web -path edge/web/node_modules -prune -o -path edge/web/dist -prune -o -path edge/web/build -prune \
    -o -type f -print | sort | xargs sha256sum | digest)
  fresh pages "$key" && [ -f edge/web/dist/index.html ] && return 0
  need npm "install Node.js 18 or newer"
  step "pages (npm)"
  (cd edge/web && quietly npm ci --no-audit --no-fund && quietly npm run build)
  stamp pages "$key"
}

counterparts() {
  packages chromium ffmpeg gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-nice gstreamer1.0-libav \
    python3-gi gir1.2-gst-plugins-bad-1.0 gir1.2-gstreamer-1.0
  local directory
  for directory in tests/interop/node tests/interop/browser; do
    [ -f "$directory/package-lock.json" ] || continue
    fresh "$(basename "$directory")" "$(digest "$directory/package-lock.json")" && [ -d "$directory/node_modules" ] && continue
    step "test clients in $directory (npm)"
    (cd "$directory" && quietly npm ci --no-audit --no-fund) \
      || step "could not be installed; tests that need them will say so"
    stamp "$(basename "$directory")" "$(digest "$directory/package-lock.json")"
  done
}

case $goal in
  run | test) ;;
  peers) packages janus libssl-dev ;;
  *) echo "setup: unknown goal $goal" >&2; exit 2 ;;
esac
python
dataplane
pages
[ "$goal" = test ] && counterparts
step "ready"
