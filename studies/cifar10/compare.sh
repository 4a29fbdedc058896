#!/usr/bin/env bash
# The comparison on any pool: compare.sh POOL TEST OUT, a folder of bundles of one stage, and images
# that none of them was trained on, as a folder or tar with a split named test.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
pool=$1 test=$2 out=$3
python=${PYTHON:-python3}
# One thread in all that is timed.
export OMP_NUM_THREADS=1

for cost in macs cpu_seconds; do
  "$python" "$here/study.py" "$pool" "$test" "$out" "$cost"
done
systems=()
for bundle in "$pool"/*/bundle.yaml "$out"/bundles/*/bundle.yaml; do
  folder=$(dirname "$bundle")
  systems+=("$(basename "$folder")=$folder")
done
# Of the first halving, the images that nothing was chosen on.
"$python" -m dual_cnn_ros.tools.evaluate "$test" "${systems[@]}" --split test \
  --exclude "$out/choosing.txt" --repeat 0 1 --rotate --fingerprint dhash invariants --audit 0 \
  --timed "${TIMED:-1000}" --out "$out/evaluate"
"$python" "$here/table.py" "$out"/{macs,cpu_seconds}.json "$out/evaluate/evaluate.json" > "$out/table.md"
for cost in macs cpu_seconds; do "$python" "$here/chart.py" "$out/$cost.json" "$out/$cost.svg"; done
