#!/usr/bin/env bash
# Builds the targets with the coverage flags that libFuzzer needs, which the stable compiler knows too, and runs the one that is named first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# SANITIZER=address builds the targets and all that they use with that sanitizer, by a flag that is not stable yet.
if [[ -n "${SANITIZER:-}" ]]; then
    export RUSTC_BOOTSTRAP=1
    coverage+=" -Zsanitizer=$SANITIZER"
fi
host="$(rustc --print host-tuple)"
# Naming the target keeps the flags away from build scripts and macros.
RUSTFLAGS="$coverage -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing" cargo build --release --target "$host"

target="$1"
shift
mkdir -p "artifacts/$target"
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" -artifact_prefix="artifacts/$target/" "$@" "corpus/$target"
