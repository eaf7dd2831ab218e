#!/bin/bash
# Fuzzes each target for a share of SECONDS (default 60): Tests/Fuzz/run.sh [SECONDS [TARGET]]
#
# The modules are built as they are, instrumented; a target is one file beside this one, linked with them and with
# libFuzzer's main. Corpus/TARGET holds inputs worth starting from. What is found goes to .build-fuzz/found/TARGET;
# an input that breaks something is written there too, and running the target with its path replays it.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
targets=("${2:-Virtqueue}")
[ $# -ge 2 ] || targets+=(CommandLine Rows)

# Not --sanitize=fuzzer: with it, dma-bench would keep the name `main` that libFuzzer needs.
build=(swift build --scratch-path .build-fuzz --sanitize=address -Xswiftc -sanitize=fuzzer)
"${build[@]}" --target dma-bench
products=$("${build[@]}" --show-bin-path)
imports=(-I "$products/Modules")
for map in Sources/*/{,include/}module.modulemap .build-fuzz/checkouts/*/Sources/*/include/module.modulemap; do
    [ ! -e "$map" ] || imports+=(-I "$(dirname "$map")")
done

for target in "${targets[@]}"; do
    found=.build-fuzz/found/$target
    mkdir -p "$found"
    swiftc -module-name Fuzz -swift-version 6 -warnings-as-errors -g -parse-as-library \
        -sanitize=fuzzer,address -use-ld=lld -lnuma "${imports[@]}" \
        "Tests/Fuzz/$target.swift" "$products"/*.build/*.o -o ".build-fuzz/$target"
    # The backtracer would hide the signal from libFuzzer.
    SWIFT_BACKTRACE=enable=no ".build-fuzz/$target" \
        -max_total_time=$((seconds / ${#targets[@]})) -timeout=5 -rss_limit_mb=4096 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$found/" "$found" "Tests/Fuzz/Corpus/$target"
done
