#!/usr/bin/env bash
# Makes .venv with what is locked in requirements/$1.lock (run or dev); quick when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
kind="${1:-run}"
venv="${VENV:-.venv}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never

wanted() { cat "requirements/$1.lock" pyproject.toml | cksum | tr ' ' -; }
is_done() { [ -x "$venv/bin/gatepost" ] && [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$(wanted "$1")" ]; }

find_python() {
    local name
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Gatepost needs Python 3.11 or newer; none was found (set PYTHON=/path/to/python)." >&2
    return 1
}

make_venv() {
    local python
    python="$(find_python)"
    echo "Making $venv with $("$python" --version)" >&2
    if "$python" -m venv "$venv" >/dev/null 2>&1; then return; fi
    if command -v uv >/dev/null; then
        uv venv -q --clear --python "$python" "$venv"
        return
    fi
    echo "$python cannot make virtual environments: install its venv module (Debian: python3-venv)." >&2
    return 1
}

# The lock names every package, so nothing is resolved (--no-deps): pip with hashes would refuse "coverage[toml]",
# which pytest-cov asks for, as not pinned, although coverage is.
install_locked() {
    local uv=""
    if [ -x "$venv/bin/uv" ]; then uv="$venv/bin/uv"; elif command -v uv >/dev/null; then uv=uv; fi
    echo "Installing requirements/$kind.lock" >&2
    if [ -n "$uv" ]; then
        "$uv" pip install -q --python "$venv/bin/python" --require-hashes --no-deps -r "requirements/$kind.lock"
        "$uv" pip install -q --python "$venv/bin/python" --no-deps -e .
    else
        "$venv/bin/python" -m pip install -q --require-hashes --no-deps -r "requirements/$kind.lock"
        "$venv/bin/python" -m pip install -q --no-deps -e .
    fi
}

# What tests need includes what running needs.
if is_done "$kind" || { [ "$kind" = run ] && is_done dev; }; then exit 0; fi
"$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || make_venv
install_locked
wanted "$kind" > "$venv/.installed-$kind"
