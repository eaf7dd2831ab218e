#!/bin/bash
# Fuzzes each target for SECONDS (default 60), as many at a time as there are processors:
# Tests/Fuzz/run.sh [SECONDS [TARGET...]]
#
# The modules are built as they are but for the guest's moves (SharedWords.swift), instrumented and with assertions; a
# target is one file beside this one and what belongs to it, linked with them and with libFuzzer's main. Corpus/TARGET
# holds inputs worth starting from. What is found goes to .build-fuzz/found/TARGET; an input that breaks something is
# written there too, and running the target with its path replays it. The end is a line for each target.
set -euo pipefail
cd "$(dirname "$0")/../.."
export seconds=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(Virtqueue VhostUser Device Conversions CommandLine Job Rows Analysis)

# Not --sanitize=fuzzer: with it, dma-bench would keep the name `main` that libFuzzer needs.
build=(swift build -c release --scratch-path .build-fuzz --sanitize=address -Xswiftc -sanitize=fuzzer
    -Xswiftc -enable-testing -Xswiftc -assert-config -Xswiftc Debug -Xswiftc -DFUZZ)
"${build[@]}" --target VhostUser
"${build[@]}" --target dma-bench
products=$("${build[@]}" --show-bin-path)
modules="-I $products/Modules"
for map in Sources/*/{,include/}module.modulemap .build-fuzz/checkouts/*/Sources/*/include/module.modulemap; do
    [ ! -e "$map" ] || modules+=" -I $(dirname "$map")"
done
export products modules

compile() {
    local sources=("Tests/Fuzz/$1.swift")
    case $1 in
    Device) sources+=(Tests/Fuzz/Device/*.swift) ;;
    Conversions) sources+=(Tests/PinLock/Reference.swift) ;;
    esac
    # shellcheck disable=SC2086 # several words
    swiftc -module-name Fuzz -swift-version 6 -warnings-as-errors -gline-tables-only -O -assert-config Debug -wmo -parse-as-library \
        -sanitize=fuzzer,address -use-ld=lld -lnuma $modules \
        "${sources[@]}" "$products"/*.build/*.o -o ".build-fuzz/$1"
}

fuzz() {
    local found=.build-fuzz/found/$1
    mkdir -p "$found"
    # The backtracer would hide the signal from libFuzzer. Stacks of allocations take longer than most inputs.
    ASAN_OPTIONS=malloc_context_size=1:quarantine_size_mb=16 SWIFT_BACKTRACE=enable=no \
        ".build-fuzz/$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$found/" "$found" "Tests/Fuzz/Corpus/$1" >".build-fuzz/$1.log" 2>&1 ||
        echo "$1" >>.build-fuzz/failed
}

# As many at a time as there are processors.
each() {
    printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I '{}' bash -euc "$1 {}"
}
export -f compile fuzz
each compile
: >.build-fuzz/failed
each fuzz

total=0
for target in "${targets[@]}"; do
    log=.build-fuzz/$target.log
    number() { sed -n "s/^stat::$1: *//p" "$log"; }
    inputs=$(number number_of_executed_units)
    total=$((total + ${inputs:-0}))
    # The last line of progress: #N REDUCE cov: N ft: N corp: N/size ...
    printf '%-12s %9d inputs %7d/s  %s\n' "$target" "${inputs:-0}" "$(number average_exec_per_sec)" \
        "$(sed -n 's|.*\(cov: .* corp: [0-9]*\).*|\1|p' "$log" | tail -n 1)"
done
failed=$(wc -l <.build-fuzz/failed)
while read -r target; do
    echo "fuzz: $target ended early; $(grep -o 'Test unit written to .*' ".build-fuzz/$target.log" || echo no input)"
    tail -n 60 ".build-fuzz/$target.log" | sed 's/^/    /'
done <.build-fuzz/failed
echo "fuzz: ${#targets[@]} targets, $((total / 1000000)).$((total / 100000 % 10)) million inputs, $failed findings"
[ "$failed" -eq 0 ]
