#!/usr/bin/env bash
# Fuzzes every target for some seconds, or only the targets named: run.sh [SECONDS] [TARGET...]
# With "same" instead of seconds: the same inputs each time, so that a change is judged by itself and
# not by luck.
#
# What is found new goes to a scratch folder, not to the corpus that is kept; the input of a crash
# stays under artifacts/. Needs a C++ compiler, for libFuzzer, and no other toolchain than usual.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
targets=("${@:2}")
if [ "${#targets[@]}" -eq 0 ]; then
  targets=(frame relay progress framer)
fi

# Counters on every edge and the operands of comparisons: what libFuzzer steers by.
coverage=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
# With --target the flags spare build scripts, which could not be linked with them.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="${coverage[*]}" cargo build --release --locked --features libfuzzer --target "$host" \
  "${targets[@]/#/--bin=}"

# Each comes to between 40 and 60 s of one core.
declare -A same=([frame]=16000000 [relay]=170000 [progress]=12000000 [framer]=3300000)

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
for target in "${targets[@]}"; do
  mkdir -p "$scratch/$target" "artifacts/$target"
  log=$scratch/$target.log
  limit=("-max_total_time=$seconds")
  if [ "$seconds" = same ]; then
    limit=(-seed=1 "-runs=${same[$target]}")
  fi
  echo "$target: ${limit[*]}"
  if ! "target/$host/release/$target" "$scratch/$target" "corpus/$target" \
    "${limit[@]}" -timeout=30 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "$target failed; the input is in fuzz/artifacts/$target" >&2
    exit 1
  fi
  grep -E 'INITED|DONE|average_exec_per_sec' "$log"
  # Without counters every input looks alike, and nothing would ever be found.
  grep -Eq 'DONE +cov: [1-9][0-9]{2,}' "$log" || { echo "$target saw no coverage" >&2; exit 1; }
done
