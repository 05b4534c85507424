#!/usr/bin/env bash
# The long form of every proof, one after another, whatever the others come to; status 0 only when all held.
# Each figure can be set: NIGHT_KILLS=20 NIGHT_STATES=50 … makes a night of minutes, to see that it runs to its end.
set -uo pipefail
cd "$(dirname "$0")/.."
make="${MAKE:-make}"
failed=()
began="$SECONDS"

part() {
    local name="$1" since="$SECONDS"
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    if "$make" "$@"; then
        printf '== %s held, %d s\n' "$name" "$((SECONDS - since))"
    else
        failed+=("$name")
        printf '== %s FAILED, %d s\n' "$name" "$((SECONDS - since))"
    fi
}

part crash crash "KILLS=${NIGHT_KILLS:-5000}" ARGS=
part "power cuts" powercut "STATES=${NIGHT_STATES:-20000}" ARGS=
part "every power cut" powercut "ARGS=--every-cut --operations ${NIGHT_OPERATIONS:-2000}"
part "failing writes and syncs" iofaults "CALLS=${NIGHT_CALLS:-500}" ARGS=--both
part simulation sim "SEEDS=${NIGHT_SEEDS:-5000}" ARGS=
part fuzzing fuzz "GUIDED=${NIGHT_GUIDED:-600}" \
    "ARGS=--sequences ${NIGHT_SEQUENCES:-1000000} --runs ${NIGHT_RUNS:-50000}"
part mutants mutate "ARGS=${NIGHT_MUTANTS:+--sample $NIGHT_MUTANTS}"

printf '\n== the night took %d s\n' "$((SECONDS - began))"
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}"
    exit 1
fi
echo "everything held"
