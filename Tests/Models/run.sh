#!/usr/bin/env bash
# Runs every check of the Promela models here with spin (apt-get install spin gcc): what must hold has to hold, and
# every mutant, and every place a run must come to, has to be found. One line a check; exits 1 where one is otherwise.
set -u
here=$(cd "$(dirname "$0")" && pwd)
command -v spin >/dev/null && command -v gcc >/dev/null || {
    echo "run.sh: spin and gcc are needed: apt-get install spin gcc" >&2
    exit 69
}

# MODEL  WANT  DEFINES...: `ok`, no violation in any reachable state; `found`, at least one.
checks='
tree      ok
tree      found  RESTORE
tree      found  NO_LOCK
tree      found  LEAF_COUNTS_ONLY
tree      found  LEAF_CLOSED_ONLY
tree      found  SHORT_UNDO
tree      found  CHECK_THEN_COUNT
tree      found  UNCLAIM_FIRST
tree      found  REACH_DENIED
tree      found  REACH_WAITED
tree      found  REACH_UNDONE
tree      found  REACH_HELD
split     ok     DEVICES=1
split     ok     CONVERTERS=1
split     found  STALE_HEAD
split     found  STALE_PIN
split     found  HEAD_FIRST
split     found  KEEPS_CLAIM
split     found  REACH_SPLIT
split     found  REACH_STALE_CLAIM
split     found  REACH_STALE_PIN
split     found  REACH_DENIED
slots     ok
slots     ok     DEVICES=1 ROUNDS=4
slots     ok     NO_BARRIER LOCKED_UNPIN
slots     found  STORE
slots     found  LOOK_FIRST
slots     found  PLAIN_CLOSE
slots     found  SCAN_FIRST
slots     found  LEAF_CLOSED_ONLY
slots     found  NO_BARRIER
slots     found  BARRIER_FIRST
slots     found  SEEN_LATE
slots     found  REACH_REFUSED
slots     found  REACH_DENIED
slots     found  REACH_BOTH
slots     found  REACH_WAITED
slots     found  REACH_SLEEP
slots     found  REACH_LATE
waiting   ok
waiting   ok     DEVICES=3
waiting   found  LOOK_FIRST
waiting   found  COUNT_IN_LATE
waiting   found  NO_COMPARE
waiting   found  SEEN_LATE
waiting   found  REACH_SLEEP
waiting   found  REACH_WAKE
recovery  ok
recovery  ok     ROUNDS=1 DEVICES=3
recovery  ok     ROUNDS=1 DEVICES=3 MORTAL=2
recovery  ok     NO_BARRIER FENCE
recovery  found  NO_BARRIER
recovery  found  NO_CHECK
recovery  found  CHECK_FIRST
recovery  found  NO_WAIT
recovery  found  RELEASING_IS_GONE
recovery  found  ROUNDS=1 MORTAL=2 NO_LOCK
recovery  found  ROUNDS=1 MORTAL=2 ABANDON_LATE
recovery  found  REACH_PIN_FROZEN
recovery  found  REACH_UNPIN_FROZEN
recovery  found  REACH_TORN_INTENT
recovery  found  REACH_TORN_RELEASING
recovery  found  REACH_HELD
epoch     ok
epoch     ok     DEVICES=1 ROUNDS=4
epoch     found  NO_BARRIER
epoch     found  BARRIER_FIRST
epoch     found  NO_WAIT
epoch     found  LOOK_FIRST
epoch     found  SLEEP_NO_BARRIER
epoch     found  REACH_REFUSED
epoch     found  REACH_OVERTAKEN
epoch     found  REACH_DENIED
epoch     found  REACH_SLEEP
epoch     found  REACH_WAITED
'

check() { # MODEL WANT DEFINES...
    local model=$1 want=$2 got states name
    shift 2
    name="$model $*"
    cd "$(mktemp -d -p "$work")" || return 1
    if spin -a "${@/#/-D}" "$here/$model.pml" >log 2>&1 &&
        gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c >>log 2>&1 &&
        ./pan -m100000 -w24 >>log 2>&1; then
        case $(grep -o 'errors: [0-9]*' log) in
        'errors: 0') got=ok ;;
        'errors: '*) got=found ;;
        *) got=broken ;;
        esac
        # Not every state was seen.
        grep -qE 'max search depth too small|out of memory|memory limit' log && got=cut
    else
        got=broken
    fi
    states=$(grep -oE '[0-9.e+]+ states, stored' log | cut -d' ' -f1)
    printf '%-46s want %-6s got %-6s %10s states\n' "$name" "$want" "$got" "${states:-0}"
    [ "$got" = broken ] && cat log
    [ "$got" = "$want" ]
}
export -f check
export here work
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# xargs exits with 123 where a check has failed.
grep . <<<"$checks" | xargs -P "$(nproc)" -d '\n' -I{} bash -c 'check {}' || exit 1
