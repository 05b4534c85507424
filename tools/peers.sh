#!/usr/bin/env bash
# Installs what the benchmark compares Gatepost with, and starts none of it: rspamd from Debian, Haraka from npm
# into build/peers. What cannot be installed is left out: `make bench` says so and measures the others.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/services.sh rspamd

wanted=bench/haraka
place=build/peers/haraka
if cmp -s "$wanted/package-lock.json" "$place/.installed"; then exit 0; fi
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    echo "Not installed: Haraka (needs node 20 or newer, and npm); it is left out." >&2
    exit 0
fi
if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
    echo "Not installed: Haraka (needs node 20 or newer, this is $(node --version)); it is left out." >&2
    exit 0
fi
mkdir -p "$place"
cp "$wanted/package.json" "$wanted/package-lock.json" "$place/"
# Nothing of it is compiled or run: no scripts, no optional plugins.
if npm ci --prefix "$place" --omit=optional --ignore-scripts --no-audit --no-fund >"$place/npm.log" 2>&1; then
    cp "$wanted/package-lock.json" "$place/.installed"
else
    tail -5 "$place/npm.log" >&2
    echo "Could not install: Haraka; it is left out." >&2
fi
