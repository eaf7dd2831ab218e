#!/usr/bin/env bash
# Runs every check of the Promela models here with spin (apt-get install spin gcc): what must hold has to hold, and
# every mutant, and every place a run must come to, has to be found. One line a check, and one at the end; exits 1 where
# one is otherwise. First it is checked that the documents name what there is: run.sh names, nothing else. With models'
# names, run.sh slots views_slots, their checks alone are run.
set -u
here=$(cd "$(dirname "$0")" && pwd)

# MODEL  WANT  DEFINES...
#   ok, found     no violation in any reachable state; at least one
#   live, starves the model's formula holds in every run that is weakly fair; there is a run in which it does not
checks='
tree           ok
tree           found   RESTORE
tree           found   NO_LOCK
tree           found   LEAF_COUNTS_ONLY
tree           found   LEAF_CLOSED_ONLY
tree           found   SHORT_UNDO
tree           found   CHECK_THEN_COUNT
tree           found   UNCLAIM_FIRST
tree           found   REACH_DENIED
tree           found   REACH_WAITED
tree           found   REACH_UNDONE
tree           found   REACH_HELD
split          ok      DEVICES=1
split          ok      CONVERTERS=1
split          found   STALE_HEAD
split          found   STALE_PIN
split          found   HEAD_FIRST
split          found   KEEPS_CLAIM
split          found   REACH_SPLIT
split          found   REACH_STALE_CLAIM
split          found   REACH_STALE_PIN
split          found   REACH_DENIED
slots          ok
slots          ok      DEVICES=1 ROUNDS=4
slots          ok      NO_BARRIER LOCKED_UNPIN
slots          found   STORE
slots          found   LOOK_FIRST
slots          found   PLAIN_CLOSE
slots          found   SCAN_FIRST
slots          found   LEAF_CLOSED_ONLY
slots          found   NO_BARRIER
slots          found   BARRIER_FIRST
slots          found   SEEN_LATE
slots          found   REACH_REFUSED
slots          found   REACH_DENIED
slots          found   REACH_BOTH
slots          found   REACH_WAITED
slots          found   REACH_SLEEP
slots          found   REACH_LATE
waiting        ok
waiting        ok      DEVICES=3
waiting        found   LOOK_FIRST
waiting        found   COUNT_IN_LATE
waiting        found   NO_COMPARE
waiting        found   SEEN_LATE
waiting        found   REACH_SLEEP
waiting        found   REACH_WAKE
onlooker       ok
onlooker       ok      DEVICES=1 ROUNDS=3
onlooker       ok      SLEEPERS=2
onlooker       ok      MUTEX IMPATIENT
onlooker       ok      MORTAL DEVICES=1
onlooker       ok      MORTAL CONVERTERS=1
onlooker       ok      MORTAL CONVERTERS=1 SLEEPERS=0
onlooker       ok      LOCKED_UNPIN NO_BARRIER
onlooker       ok      COUNTED_FIRST
onlooker       found   CLOSE_LATE
onlooker       found   SEARCH_FIRST
onlooker       found   NO_BARRIER
onlooker       found   BARRIER_FIRST
onlooker       found   COUNTER_LATE
onlooker       found   MUTEX UNANSWERED_SEEN
onlooker       found   PLAIN_MOVE
onlooker       found   REFUSED_SILENT
onlooker       found   MORTAL DEVICES=1 RECOVERY_SILENT
onlooker       found   MORTAL DEVICES=1 FOUND_ONLY
onlooker       found   MORTAL DEVICES=1 GIVES_UP_SILENT
onlooker       found   NO_ONLOOKER
onlooker       found   NO_COMPARE
onlooker       found   COUNTED_LATE
onlooker       found   SLEEPERS_FIRST
onlooker       found   REACH_UNMOVED
onlooker       found   REACH_DONE
onlooker       found   REACH_SLEEP
onlooker       found   REACH_WAKE
onlooker       found   REACH_REFUSED
onlooker       found   MUTEX REACH_UNANSWERED
onlooker       found   REACH_LATE
onlooker       found   IMPATIENT REACH_ABANDONED
onlooker       found   MORTAL DEVICES=1 REACH_TOLD_NOBODY
onlooker       found   MORTAL DEVICES=1 REACH_GAVE_UP
onlooker       found   MORTAL DEVICES=1 REACH_LEFT
recovery       ok
recovery       ok      ROUNDS=1 DEVICES=3
recovery       ok      ROUNDS=1 DEVICES=3 MORTAL=2
recovery       ok      NO_BARRIER FENCE
recovery       found   NO_BARRIER
recovery       found   NO_CHECK
recovery       found   CHECK_FIRST
recovery       found   NO_WAIT
recovery       found   RELEASING_IS_GONE
recovery       found   HELD_ONCE
recovery       found   THAW_EARLY
recovery       found   NO_LET_THROUGH
recovery       found   ROUNDS=1 MORTAL=2 NO_LOCK
recovery       found   ROUNDS=1 MORTAL=2 ABANDON_LATE
recovery       found   REACH_PIN_FROZEN
recovery       found   REACH_UNPIN_FROZEN
recovery       found   REACH_TORN_INTENT
recovery       found   REACH_TORN_RELEASING
recovery       found   REACH_HELD
recovery       live
recovery       starves NO_CHECK
recount        ok
recount        ok      WORD=1
recount        found   STORED_COUNT
recount        found   CLEARED_FIRST
recount        found   RELEASE_SILENT
recount        found   REFUSED_SILENT
recount        found   DONE_EARLY
recount        found   DEAD_IS_HELD
recount        found   RELEASED_AGAIN
recount        found   REACH_CLOSED_RECOUNT
recount        found   REACH_WAITED
recount        found   REACH_AGAIN
recount        found   REACH_REFUSED
recount        found   REACH_HELD
recount        found   WORD=1 REACH_LEFT
epoch          ok
epoch          ok      DEVICES=1 ROUNDS=4
epoch          found   NO_BARRIER
epoch          found   BARRIER_FIRST
epoch          found   NO_WAIT
epoch          found   LOOK_FIRST
epoch          found   SLEEP_NO_BARRIER
epoch          found   REACH_REFUSED
epoch          found   REACH_OVERTAKEN
epoch          found   REACH_DENIED
epoch          found   REACH_SLEEP
epoch          found   REACH_WAITED
longlived      ok
longlived      ok      DEADLINE TURNS=2
longlived      ok      CONVERTERS=2 ROUNDS=1
longlived      ok      PINCACHE
longlived      ok      PINCACHE DEADLINE TURNS=2
longlived      ok      PINCACHE CONVERTERS=2 ROUNDS=1
longlived      found   IN_USE
longlived      found   CONVERTERS=2 ROUNDS=1 SEEN_LATE
longlived      found   SEEN_IN_USE
longlived      found   NO_SERVICE
longlived      found   ASK_FIRST
longlived      found   KICK_FIRST
longlived      found   NO_KICK
longlived      found   NO_TAKE_BACK
longlived      found   PINCACHE IN_USE
longlived      found   PINCACHE PARTS_FIRST
longlived      found   REACH_REVOKED
longlived      found   REACH_IN_USE
longlived      found   REACH_BACK
longlived      found   REACH_ALONE
longlived      found   REACH_WAITED
longlived      found   DEADLINE REACH_GAVE_UP
longlived      found   PINCACHE REACH_UNION
inflight       ok
inflight       found   KILLED_IS_DEAD
inflight       found   NO_DRAIN
inflight       found   NO_QUIESCE
inflight       found   REACH_STORE
inflight       found   REACH_REQUEST
inflight       found   REACH_WAITED
inflight       found   REACH_PRIVATE
locked         ok
locked         ok      ROUNDS=2
locked         ok      DEVICES=3
locked         found   NO_REPAIR
locked         found   LOOK_BEFORE
locked         found   LOOK_FIRST
locked         found   LOOK_OUTSIDE
locked         found   RELEASING_IS_GONE
locked         found   FREE_FIRST
locked         found   NO_REMOVE
locked         found   ANNOUNCE_FIRST
locked         found   REACH_REPAIR
locked         found   REACH_HALF
locked         found   REACH_REFUSED
locked         found   REACH_DENIED
locked         found   REACH_SLEEP
fault          ok
fault          found   COMMIT_FIRST
fault          found   NO_SHOOTDOWN
fault          found   NO_DRAIN
fault          found   LIFT_FIRST
fault          found   REACH_FAULT
fault          found   REACH_BUFFERED
fault          found   REACH_STALE
retry          live    STOPS
retry          live    DEADLINES
retry          starves
retry          starves STOPS LOOK_FIRST
retry          starves DEADLINES NO_CLOCK
retry          found   REACH_REFUSED
retry          found   REACH_SLEEP
retry          found   DEADLINES REACH_PASSED
retry          found   REACH_WAITED
views_counted  ok
views_counted  ok      DEVICES=2 ROUNDS=1
views_counted  ok      CLOSE=RELAXED
views_counted  ok      COMMIT=RELAXED
views_counted  ok      GIVE_UP=RELAXED
views_counted  ok      MARK=RELAXED NUMBER=RELAXED
views_counted  found   PIN=RELAXED
views_counted  found   UNPIN=BARE
views_counted  found   UNPIN=ACQ_REL
views_counted  found   LOOK=BARE
views_counted  found   LOOK=ACQUIRE
views_counted  found   OPEN=RELAXED
views_counted  found   CLAIM=RELAXED
views_counted  found   COMMIT=RELAXED GIVE_UP=RELAXED
views_counted  found   WAITERS=ACQUIRE
views_counted  found   COUNT_IN=ACQ_REL
views_counted  found   MARK_FIRST
views_counted  found   REACH_REFUSED
views_counted  found   REACH_DENIED
views_counted  found   REACH_SLEEP
views_counted  found   REACH_SHARED_AGAIN
views_counted  found   REACH_SECOND_WRITE
views_slots    ok
views_slots    ok      DEVICES=2 ROUNDS=1
views_slots    ok      CLOSE=RELAXED SCAN=ACQUIRE
views_slots    found   PUBLISH=ACQ_REL
views_slots    found   CHECK=ACQUIRE
views_slots    found   NO_FENCE
views_slots    found   SCAN=BARE
views_slots    found   UNPIN=RELAXED
views_slots    found   OPEN=RELAXED
views_slots    found   NO_BARRIER
views_slots    found   REACH_REFUSED
views_slots    found   REACH_DENIED
views_slots    found   REACH_SLEEP
views_slots    found   REACH_OTHER
views_lists    ok      EXACT
views_lists    ok      EXACT PINS=3 CONVERSIONS=1
views_lists    ok      EXACT PINS=1 CONVERSIONS=3
views_lists    ok      EXACT CLOSE=RELAXED FIRST_LOOK=ACQUIRE
views_lists    ok      EXACT SECOND_LOOK=ACQUIRE
views_lists    ok      ONE_LOOK
views_lists    ok      EQUAL_NUMBERS
views_lists    found   WRITE_HULL=RELAXED
views_lists    found   WRITE_RANGES=RELAXED
views_lists    found   READ_HULL=RELAXED
views_lists    found   READ_RANGES=RELAXED
views_lists    found   PUBLISH=ACQ_REL
views_lists    found   CHECK=ACQUIRE
views_lists    found   UNPIN=RELAXED
views_lists    found   OPEN=RELAXED
views_lists    found   FIRST_LOOK=BARE
views_lists    found   SECOND_LOOK=BARE
views_lists    found   NO_FENCE
views_lists    found   LOOK_FIRST
views_lists    found   HEADER_FIRST
views_lists    found   LIST_EARLY
views_lists    found   FIRST_ALONE
views_lists    found   HULL_OF_FIRST
views_lists    found   EXACT ONE_LOOK
views_lists    found   EXACT EQUAL_NUMBERS
views_lists    found   REACH_REFUSED
views_lists    found   REACH_DENIED
views_lists    found   REACH_MOVED
views_lists    found   REACH_BETWEEN
views_lists    found   REACH_MIXED
views_lists    found   REACH_PASSED
views_epoch    ok
views_epoch    ok      BEGIN=RELAXED
views_epoch    ok      LISTS CONVERSIONS=1
views_epoch    found   NO_BARRIER
views_epoch    found   RANGE=RELAXED
views_epoch    found   LISTS CONVERSIONS=1 LIST=RELAXED
views_epoch    found   END=RELAXED
views_epoch    found   CHECK=RELAXED
views_epoch    found   LOOK_RANGE=RELAXED
views_epoch    found   LISTS CONVERSIONS=1 LOOK_LIST=RELAXED
views_epoch    found   LOOK_STATE=RELAXED
views_epoch    found   REACH_REFUSED
views_epoch    found   REACH_DENIED
views_epoch    found   REACH_SLEEP
views_epoch    found   REACH_OTHER
views_epoch    found   LISTS CONVERSIONS=1 REACH_MIXED
views_recovery ok
views_recovery ok      BEGIN=RELAXED RECOUNT=RELAXED
views_recovery found   NO_BARRIER
views_recovery found   HOLD=RELAXED
views_recovery found   END=RELAXED
views_recovery found   LOOK_STATE=RELAXED
views_recovery found   REACH_FROZEN
views_recovery found   REACH_HELD
views_recovery found   REACH_WAIT
views_ring     ok
views_ring     found   PUBLISH=BARE
views_ring     found   USE=BARE
views_ring     found   TAKE=RELAXED
views_ring     found   REUSE=RELAXED
views_ring     found   AGAIN=ACQ_REL
views_ring     found   ASK=ACQ_REL
views_ring     found   WANTS=ACQUIRE
views_ring     found   LOOK_AGAIN=ACQUIRE
views_ring     found   ASK_LATE
views_ring     found   REACH_NOTIFIED
views_ring     found   REACH_ASLEEP
views_ring     found   REACH_SEEN
'

# Every switch of a model is in the table, but for sizes; and what docs/correctness.md and SECURITY.md name in backquotes
# is there: files, and behind a file's name a declaration of Swift, or a label or switch of a model.
names() {
    local sizes='^(DEVICES|CONVERTERS|ROUNDS|TURNS)$' wrong=0 path model switch file name
    for path in "$here"/*.pml; do
        model=$(basename "$path" .pml)
        for switch in $(grep -E '^# *(if|el)' "$path" | grep -oE '\b[A-Z][A-Z_]+\b' | sort -u); do
            [[ $switch =~ $sizes || $switch = LIVE ]] && continue
            grep -qE "^$model .*\b$switch\b" <<<"$checks" && continue
            echo "run.sh: no check of $model has $switch" >&2
            wrong=1
        done
    done
    while IFS=: read -r file name; do
        path=$(find "$here/../../Sources" "$here/.." -name "$file" -print -quit)
        if [ -z "$path" ]; then
            false
        elif [[ $file = *.pml ]]; then
            grep -v '^ \*' "$path" | grep -qw -e "$name"
        else
            grep -qE "\b(func|var|let|case|struct|class|enum|protocol) ${name:-[A-Za-z]+}\b" "$path"
        fi && continue
        echo "documents: there is no $file${name:+: $name}" >&2
        wrong=1
    done < <(grep -ohE '`[A-Za-z_]+\.(swift|pml)(: [A-Za-z_]+)?`' "$here/../../docs/correctness.md" "$here/../../SECURITY.md" |
        tr -d '` ' | sed '/:/!s/$/:/' | sort -u)
    return $wrong
}

check() { # MODEL WANT DEFINES...
    local model=$1 want=$2 holds=ok fails=found optimise=-O1 build=(-DSAFETY) search=() defines got states
    shift 2
    defines=("${@/#/-D}")
    case $want in
    live | starves)
        # A formula alone: without assertions (-A) and end states (-E); under weak fairness (-f).
        holds=live fails=starves build=(-DNFAIR=3) search=(-a -f -A -E)
        defines+=(-DLIVE)
        ;;
    esac
    # What is to be found is found soon: the compiler would take longer.
    [[ $want =~ found|starves ]] && optimise=-O0
    cd "$(mktemp -d -p "$work")" || return 1
    if spin -a "${defines[@]}" "$here/$model.pml" >log 2>&1 &&
        gcc $optimise -w "${build[@]}" -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c >>log 2>&1 &&
        ./pan "${search[@]}" -m100000 -w24 >>log 2>&1; then
        case $(grep -o 'errors: [0-9]*' log) in
        'errors: 0') got=$holds ;;
        'errors: '*) got=$fails ;;
        *) got=broken ;;
        esac
        # Not every state was seen, or a word had more values than the model has room for.
        grep -qE 'max search depth too small|out of memory|memory limit|violated \(+last' log && got=cut
    else
        got=broken
    fi
    states=$(grep -oE '[0-9.e+]+ states, stored' log | cut -d' ' -f1)
    printf '%-52s want %-7s got %-7s %10s states\n' "$model $*" "$want" "$got" "${states:-0}"
    [ "$got" = broken ] && cat log
    [ "$got" = "$want" ]
}

names || exit 1
[ "${1:-}" = names ] && exit
for model; do
    grep -q "^$model " <<<"$checks" && continue
    echo "run.sh: there is no model $model" >&2
    exit 64
done
[ $# -eq 0 ] || checks=$(IFS='|' && grep -E "^($*) " <<<"$checks")
command -v spin >/dev/null && command -v gcc >/dev/null || {
    echo "run.sh: spin and gcc are needed: apt-get install spin gcc" >&2
    exit 69
}
export -f check
export here work
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# xargs exits with 123 where a check has failed.
set -o pipefail
grep . <<<"$checks" | xargs -P "$(nproc)" -d '\n' -I{} bash -c 'check {}' | tee "$work/lines"
status=$?
awk '$NF == "states" {
        checks++
        states += $(NF - 1)
        if ($(NF - 4) != $(NF - 2)) wrong = wrong "models: " $0 "\n"
        else if ($(NF - 2) ~ /found|starves/) { if (/REACH_/) places++; else mutants++ }
    }
    END {
        printf "%s", wrong
        printf "models: %d checks, %.0f million states, %d mutants caught, %d places reached\n",
            checks, states / 1e6, mutants, places
    }' "$work/lines"
[ $status -eq 0 ]
