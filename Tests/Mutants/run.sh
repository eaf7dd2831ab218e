#!/bin/bash
# Sabotages the product, one decisive line at a time, and sees that a test notices: Tests/Mutants/run.sh [NAME...]
# With --places it looks only whether each line is still where its list says.
#
# What is sabotaged stands in the lists beside this file, in entries of these lines:
#
#     mutant NAME: what is wrong then
#     in FILE
#     - text that FILE has exactly once
#     + what stands there instead; either may have several lines, and this one none
#     by SUITE...     who has to notice: MODULETests.SUITE, or MODULETests.SUITE/TEST
#     within SECONDS  until it counts as a hang, where that is not 30
#     argued: WHY     they do not, and why that is right
#     same: WHY       nobody can: it is the same machine code here (which is looked at); why it is written so
#
# The tree is copied to .build-mutants and built there. The suites have to pass as it is. Then each mutant is built, and
# the suites run until the first issue, trap or hang, which is a kill. A mutant that survives its suites meets all
# others but the built program's. Exits 1 where one survives that should not, or the other way round.
set -uo pipefail
shopt -s extglob
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/.build-mutants
tree=$work/tree
bundle=$tree/.build/debug/dma-benchPackageTests.xctest
# The modules whose tests are built, and all of them but those that run the program.
modules=(DmaWriter EndToEnd Guest Hypervisor Oracle PinLock Torture VhostUser VirtualDevice Virtqueue)
all='^(DmaWriter|Guest|Hypervisor|Oracle|PinLock|Torture|VhostUser|VirtualDevice|Virtqueue)Tests\.'

fail() {
    echo "mutants: $*" >&2
    exit 1
}

# MARK: The lists

names=()
declare -A about file old new suites within same argued

read_lists() {
    local line name=
    while IFS= read -r line; do
        case $line in
        'mutant '*)
            name=${line#mutant }
            about[${name%%:*}]=${name#*: }
            name=${name%%:*}
            [ -z "${file[$name]+known}" ] || fail "$name is there twice"
            names+=("$name")
            file[$name]='' old[$name]='' new[$name]='' suites[$name]=''
            ;;
        'in '*) file[$name]=${line#in } ;;
        '- '*) old[$name]+=${old[$name]:+$'\n'}${line#- } ;;
        '+ '*) new[$name]+=${new[$name]:+$'\n'}${line#+ } ;;
        'by '*) suites[$name]=${line#by } ;;
        'within '*) within[$name]=${line#within } ;;
        'same: '*) same[$name]=${line#same: } ;;
        'argued: '*) argued[$name]=${line#argued: } ;;
        '' | '#'*) ;;
        *) fail "what is this line of $name? $line" ;;
        esac
    done < <(cat "$here"/*.list)
}

# MARK: The copy

# Only what differs is written: what is older than its object file would not be built again.
put() { # FILE FROM
    cmp -s "$2" "$tree/$1" && return
    mkdir -p "$(dirname "$tree/$1")"
    cat "$2" >"$tree/$1"
}

copy() {
    local path
    mkdir -p "$tree"
    while IFS= read -r path; do
        [ ! -e "$root/$path" ] || put "$path" "$root/$path"
    done < <(cd "$root" && git ls-files -co --exclude-standard Sources Tests)
    while IFS= read -r path; do
        [ -e "$root/$path" ] || rm "$tree/$path"
    done < <(cd "$tree" && find Sources Tests -type f)
    {
        cat "$root/Package.swift"
        echo "let built: Set = [$(printf '"%sTests", ' "${modules[@]}")]"
        echo 'package.targets.removeAll { $0.type == .test && !built.contains($0.name) }'
    } >"$work/Package.swift"
    put Package.swift "$work/Package.swift"
    [ ! -e "$root/Package.resolved" ] || put Package.resolved "$root/Package.resolved"
}

build() {
    (cd "$tree" && swift build --build-tests -Xswiftc -gnone -debug-info-format none) \
        >"$work/build.log" 2>&1 </dev/null
}

# The text of a file, with what a command substitution would take from its end.
contents() {
    cat "$1"
    echo .
}

# Whether the mutant's file has its text exactly once; leaves what the mutant makes of the file in `mutated`. A search
# with * on a side would take seconds for all of them.
find_place() {
    local text none
    text=$(contents "$root/${file[$1]}")
    text=${text%.}
    none=${text//"${old[$1]}"/}
    mutated=${text/"${old[$1]}"/"${new[$1]}"}
    [ -n "${old[$1]}" ] && [ $((${#text} - ${#none})) = ${#old[$1]} ]
}

# MARK: Running tests

# Runs the suites that a regular expression names, and says how they ended in `verdict`: nothing where all passed.
try() { # REGEX SECONDS
    local pid status events=$work/events issue
    rm -f "$events"
    cd "$work" || exit
    DMA_BENCH_BINARY=$tree/.build/debug/dma-bench SWIFT_BACKTRACE=enable=no timeout -k 5 "$2" \
        "$bundle" --testing-library swift-testing --filter "$1" \
        --event-stream-output-path "$events" --event-stream-version 0 >output 2>&1 </dev/null &
    pid=$!
    issue=
    {
        while [ -z "$issue" ] && kill -0 $pid; do
            sleep 0.1
            issue=$(grep -m1 '"kind":"issueRecorded"' "$events")
        done
        # timeout(1) hands the signal on to everything that it has started.
        [ -z "$issue" ] || kill $pid
        wait $pid
        status=$?
    } 2>/dev/null
    issue=${issue:-$(grep -m1 -s '"kind":"issueRecorded"' "$events")}
    verdict=
    if [ -n "$issue" ]; then
        verdict=$(test_names <<<"$issue")
    elif [ $status = 124 ] || [ $status = 137 ]; then
        verdict="a hang of $(unfinished)"
    elif [ $status != 0 ]; then
        verdict="a trap in $(unfinished): $(grep -m1 -aoE '(Fatal|Assertion|Precondition).*' output | cut -c1-90)"
    elif ! grep -qs '"kind":"testEnded"' "$events"; then
        fail "no test is called $1"
    fi
}

# The tests of some events: MODULETests.SUITE/TEST.
test_names() {
    sed -nE 's/.*"testID":"([^"(]*)\(.*/\1/p' | sed 's,\\/,/,g'
}

# Those that have begun and not ended: cases of tests, where there are some.
unfinished() {
    local kind names=
    for kind in testCase test; do
        [ -n "$names" ] || names=$(
            diff <(grep "\"kind\":\"${kind}Started\"" events | test_names | sort) \
                <(grep "\"kind\":\"${kind}Ended\"" events | test_names | sort) |
                sed -n 's/^< //p' | sort -u | head -n 2 | paste -sd, | sed 's/,/, /')
    done
    echo "$names"
}

regex() {
    printf '%s\n' "$@" | sort -u | paste -sd'|' | sed 's,.*,^(&)[/(],'
}

code() {
    local module=${file[$1]#Sources/}
    objdump -d --no-show-raw-insn "$tree/.build/debug/${module%%/*}.build/$(basename "${file[$1]}").o" | tail -n +4
}

# MARK: One mutant

# Puts it in, and builds the tree; the objection where it is not what its list says.
sabotage() { # NAME
    local name=$1
    find_place "$name" || {
        objection=$(lost "$name")
        return 1
    }
    [ -z "${same[$name]-}" ] || { build && code "$name" >"$work/code"; }
    printf '%s' "$mutated" >"$tree/${file[$name]}"
    build || {
        objection="it does not compile: $(grep -m1 error: "$work/build.log")"
        return 1
    }
    [ -z "${same[$name]-}" ] || code "$name" | cmp -s - "$work/code" || {
        objection="it changes the machine code"
        return 1
    }
}

# Tells what became of it on one line; returns whether that was expected.
judge() { # NAME
    local name=$1 start reason
    reason=${same[$name]+the same machine code: ${same[$name]}}${argued[$name]-}
    verdict=
    start=$(date +%s.%N)
    if [ -z "${same[$name]-}" ]; then
        try "$(regex ${suites[$name]})" "${within[$name]-30}"
        if [ -z "$verdict$reason" ]; then
            try "$all" 900
            [ -z "$verdict" ] || verdict="$verdict, whom its list does not name,"
        fi
    fi
    if [ -n "$verdict" ]; then
        killed=$((killed + 1))
        say "$name" "killed by $verdict${reason:+ though argued} in $(since "$start") s"
        [ -z "$reason" ]
    elif [ -n "$reason" ]; then
        reasoned=$((reasoned + 1))
        say "$name" "argued: $reason"
    else
        say "$name" "SURVIVED: ${about[$name]}"
        return 1
    fi
}

since() { bc <<<"scale=1; ($(date +%s.%N) - $1) / 1" | sed 's/^\./0./'; }

say() { printf '%-30s %s\n' "$1" "$2"; }

lost() { echo "${file[$1]} does not have this text exactly once: ${old[$1]}"; }

read_lists
if [ "${1-}" = --places ]; then
    misplaced=0
    for name in "${names[@]}"; do
        find_place "$name" || {
            say "$name" "$(lost "$name")"
            misplaced=$((misplaced + 1))
        }
    done
    echo "mutants: $misplaced of ${#names[@]} misplaced"
    exit $((misplaced > 0))
fi
chosen=("${names[@]}")
[ $# = 0 ] || chosen=("$@")
named=()
for name in "${chosen[@]}"; do
    [ -n "${file[$name]+known}" ] || fail "there is no mutant $name"
    named+=(${suites[$name]})
done
copy
build || fail "the tree does not build: see $work/build.log"
start=$SECONDS
verdict=
[ ${#named[@]} = 0 ] || try "$(regex "${named[@]}")" 1800
[ -z "$verdict" ] || fail "the tree as it is fails: $verdict"
say 'the tree as it is' "passes, in $((SECONDS - start)) s"
killed=0
reasoned=0
unexpected=0
for name in "${chosen[@]}"; do
    if sabotage "$name"; then
        judge "$name" || unexpected=$((unexpected + 1))
    else
        say "$name" "NO MUTANT: $objection"
        unexpected=$((unexpected + 1))
    fi
    put "${file[$name]}" "$root/${file[$name]}"
done
echo "mutants: $killed of ${#chosen[@]} killed, $reasoned argued, in $SECONDS s"
[ $unexpected = 0 ]
