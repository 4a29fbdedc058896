#!/usr/bin/env bash
# Small CNNs for the pool, distilled from one of it: train.sh TRAIN POOL TEACHER [NETWORK:EPOCHS ...]
#
# TRAIN is a folder or tar of train/<class>/<image>, POOL where the bundles go, TEACHER one of them,
# or '' for labels alone. Each network takes a core, all at once. Run again after a kill: it goes on.
set -euo pipefail
train=$1 pool=$2 teacher=$3
shift 3
networks=("$@")
if [ ${#networks[@]} -eq 0 ]; then
  # Two hours of CPU: one on two cores.
  networks=(resnet20_x0_5:25 vgg9_gap_x0_5:25)
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
taught=()
if [ -n "$teacher" ]; then taught=(--teacher "$pool/$teacher"); fi
jobs=()
for member in "${networks[@]}"; do
  # So few epochs leave nothing to regularise: no label smoothing, no changes of light.
  "${PYTHON:-python3}" -m dual_cnn_ros.tools.train "$train" --split train --validation 0.02 \
    --model "${member%:*}" --epochs "${member#*:}" --input 32 --zoom 1 --shift 0.125 --light 0 \
    --saturate 0 --label-smoothing 0 --mean 0.4914 0.4822 0.4465 --std 0.2023 0.1994 0.2010 \
    "${taught[@]}" --out "$pool" &
  jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done
