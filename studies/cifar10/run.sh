#!/usr/bin/env bash
# The whole study: run.sh TRAIN TEST OUT [NETWORK:EPOCHS ...], the first two folders or tars of
# <class>/<image>. Run again after a kill: it goes on.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
train=$1 test=$2 out=$3
export PYTHON=${PYTHON:-python3}
tool() { "$PYTHON" -m "dual_cnn_ros.tools.$1" "${@:2}"; }

"$here/train.sh" "$train" "$out/pool" "${@:4}"
tool pair "$train" "$out"/pool/*/ --cost macs --out "$out/pair"

systems=()
for bundle in "$out"/pool/*/; do
  systems+=("$(basename "$bundle")=$bundle")
done
# The pairs that complement best, cost least and are most accurate; they may be the same.
"$PYTHON" "$here/pairs.py" "$out/pair/recommendation.json" > "$out/pairs.txt"
while read -r name first second; do
  calibrate() { tool calibrate "$train" "$first" "$second" --name "$name" "$@"; }
  for check in none more_confident average; do
    calibrate --score max_probability --post-check "$check" --out "$out/$name-$check"
    systems+=("$name: max_probability, $check=$out/$name-$check")
  done
  calibrate --out "$out/$name"
  for point in matches_best_cnn certified; do
    if grep -qE "name: $point(,|$)" "$out/$name/bundle.yaml"; then
      systems+=("$name: $point=$out/$name@$point")
    fi
  done
done < "$out/pairs.txt"

largest=$("$PYTHON" "$here/pairs.py" --largest "$out"/pool/*/)
tool evaluate "$test" "${systems[@]}" --reference "$largest" --repeat 0 1 --rotate \
  --fingerprint dhash invariants --audit 0 --timed 1000 --out "$out/evaluate"
"$PYTHON" "$here/table.py" "$out/evaluate/evaluate.json" "$out/pair/recommendation.json" > "$out/table.md"
"$PYTHON" "$here/chart.py" "$out/evaluate/evaluate.json" "$out"
