#!/usr/bin/env bash
# Train the pool: train.sh TRAIN OUT [NETWORK:EPOCHS ...]. Run again after a kill: it goes on.
#
# One fifth of the training images is kept from every network for validation; calibrate divides it
# into the part for temperatures and rules and the part for thresholds and certificates.
set -euo pipefail
data=$1 out=$2
shift 2
pool=("$@")
if [ ${#pool[@]} -eq 0 ]; then
  # What two CPU cores get through in an hour and a half.
  pool=(vgg16_gap_x0_5:12 vgg9_gap:14 vgg9_gap-s2:18 resnet20-s2:18 vgg9_gap_x0_5-s2:20)
fi
# So few epochs leave nothing to regularise: no label smoothing, no changes of light.
for member in "${pool[@]}"; do
  "${PYTHON:-python3}" -m dual_cnn_ros.tools.train "$data" --model "${member%:*}" \
    --epochs "${member#*:}" --input 32 --zoom 1 --shift 0.125 --light 0 --saturate 0 \
    --label-smoothing 0 --validation 0.2 --out "$out"
done
