#!/usr/bin/env bash
# What needs an NVIDIA GPU, made for ten minutes of one: gpu.sh TRAIN OUT [BUNDLE ...]
#
# First the joules of each bundle by NVML, with the trace of the readings beside the table; `signs`
# unless others are named. Then small CNNs for the pool OUT/pool, trained for longer than CPU cores
# have patience, one after the other; compare.sh takes the pool as it is.
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
for member in resnet20_x0_5:60 vgg9_gap_x0_5:60 vgg9_gap:60 resnet20:60; do
  OMP_NUM_THREADS=16 "$here/train.sh" "$train" "$out/pool" '' "$member"
done
