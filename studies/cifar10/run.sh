#!/usr/bin/env bash
# The whole study: run.sh TRAIN TEST OUT [NETWORK:EPOCHS ...], the first two folders or tars of
# <class>/<picture>. Run again after a kill: it goes on.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
train=$1 test=$2 out=$3
export PYTHON=${PYTHON:-python3}
tool() { "$PYTHON" -m "dual_cnn_ros.tools.$1" "${@:2}"; }

"$here/train.sh" "$train" "$out/pool" "${@:4}"
tool pair "$train" "$out"/pool/*.json --cost multiply_adds --out "$out/pair"

systems=()
for model in "$out"/pool/*.json; do
  systems+=("$(basename "$model" .json)=$model")
done
# The pairs that complement best, cost least and are most accurate; they may be the same.
"$PYTHON" "$here/pairs.py" "$out/pair/recommendation.json" > "$out/pairs.txt"
while read -r name first second; do
  tool calibrate "$train" --models "$first" "$second" --name "$name" --out "$out/$name"
  for point in 'max_probability, none' 'max_probability, more_confident' \
               'max_probability, average' 'deferral, none' 'deferral, average' \
               matches_better_cnn certified; do
    if grep -qF "name: $point" <(tr '\n' ' ' < "$out/$name/bundle.yaml" | tr -d "'" | tr -s ' '); then
      systems+=("$name: $point=$out/$name@$point")
    fi
  done
done < "$out/pairs.txt"

largest=$("$PYTHON" "$here/pairs.py" --largest "$out"/pool/*.json)
tool evaluate "$test" "${systems[@]}" --reference "$largest" --repeat 0 1 --rotate \
  --fingerprint dhash invariants --timed 1000 --out "$out/evaluate"
"$PYTHON" "$here/table.py" "$out/evaluate/evaluate.json" "$out/pair/recommendation.json" > "$out/table.md"
"$PYTHON" "$here/chart.py" "$out/evaluate/evaluate.json" "$out"
