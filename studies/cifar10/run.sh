#!/usr/bin/env bash
# The whole study: run.sh MODELS TEST OUT, the published ONNX files (see published.py) and a folder
# or tar of the test images, test/<class>/<image>. What has been classified is not classified again.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
models=$1 test=$2 out=$3
python=${PYTHON:-python3}

"$python" "$here/published.py" "$models" "$out/pool"
"$here/compare.sh" "$out/pool" "$test" "$out"
