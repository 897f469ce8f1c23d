#!/usr/bin/env bash
# Losses, layers and gradients of methods against a PyTorch program of ours.  $SFTN_PEER_PYTHON is a
# Python that has PyTorch; unless given, the one that bench/setup-peer.sh makes.
set -euo pipefail

python=${SFTN_PEER_PYTHON:-build/peer/bin/python}
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "skipped: no PyTorch; set SFTN_PEER_PYTHON, or run bench/setup-peer.sh"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -B tests/peers/methods.py "$work"
for backend in ref cpu; do
    "$SFTN" verify "$work" --backend "$backend" | tee "$work/rows"
    [[ $(grep -c ' ok ' "$work/rows") -eq 56 ]] || { echo "expected 56 checks"; exit 1; }
done
