#!/usr/bin/env bash
# What needs an NVIDIA GPU, in about ten minutes: gpu.sh TRAIN OUT [BUNDLE ...]
#
# First the joules of each bundle by NVML, with the trace of the readings beside the table; `signs`
# unless others are named. Then a pool for compare.sh, which takes OUT/pool as it is: trained for longer
# than two CPU cores have patience.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
train=$1 out=$2
shift 2
bundles=("$@")
if [ ${#bundles[@]} -eq 0 ]; then bundles=(signs); fi
export PYTHON=${PYTHON:-python3}

mkdir -p "$out"
for bundle in "${bundles[@]}"; do
  file="$out/$(basename "$bundle")"
  "$PYTHON" -m dual_cnn_ros.tools.measure "$bundle" --source nvml --backend torch \
    --providers cuda --trace "$file.csv" | tee "$file.txt"
done
"$here/train.sh" "$train" "$out/pool" vgg16_gap_x0_5:40 vgg9_gap:40 vgg9_gap-s2:40 resnet20:40 \
  resnet20-s2:40 vgg9_gap_x0_5-s2:40
