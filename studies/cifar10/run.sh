#!/usr/bin/env bash
# The whole study: run.sh MODELS TRAIN TEST OUT, the published ONNX files (see published.py) and
# folders or tars of images, train/<class>/<image> and test/<class>/<image>. On two cores it takes an
# hour and a half; run again after a kill, it trains on and classifies nothing twice.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
models=$1 train=$2 test=$3 out=$4
python=${PYTHON:-python3}

"$python" "$here/published.py" "$models" "$out/pool"
"$here/train.sh" "$train" "$out/pool" resnet20_c
"$here/compare.sh" "$out/pool" "$test" "$out"
