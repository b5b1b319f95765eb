#!/usr/bin/env bash
# What holds on a graphics card and cannot be seen without one: prints one table, in at most 8 minutes.
# Needs Python with PyTorch; what else is missing is installed from wheels in the folder WHEELS, without
# a network:
#   pip download --no-deps --dest wheels diffusers transformers tokenizers huggingface_hub safetensors \
#       regex xarray zarr pandas jaxtyping beartype scikit-image psutil tqdm
#   WHEELS=wheels tests/gpu/check.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -n "${WHEELS:-}" ]; then
    python3 -m pip install --quiet --no-index --find-links "$WHEELS" "$WHEELS"/*.whl
fi
export PYTHONPATH=workflow/src:tests:tests/benchmarks
exec python3 tests/gpu/check.py "$@"
