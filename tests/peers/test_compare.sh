#!/usr/bin/env bash
# What sftn compare says of two networks, and of a teacher's branches, against a PyTorch program of
# ours.  $SFTN_PEER_PYTHON is a Python that has PyTorch; unless given, the one that
# bench/setup-peer.sh makes.
set -euo pipefail

python=${SFTN_PEER_PYTHON:-build/peer/bin/python}
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "skipped: no PyTorch; set SFTN_PEER_PYTHON, or run bench/setup-peer.sh"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
mkdir "$work/data"
"$python" -B tests/peers/compare.py data "$work/data"
options=(--data cifar100 --data-path "$work/data" --threads 1)
"$SFTN" teach --teacher resnet14 --student resnet8 --epochs 2 --batch 32 "${options[@]}" \
    --out "$work/teacher" 2>/dev/null
"$SFTN" distill --teacher "$work/teacher" --student resnet8 --epochs 2 --batch 32 "${options[@]}" \
    --min-teacher-accuracy 0 --out "$work/student" 2>/dev/null
"$SFTN" compare "$work/teacher" "$work/student" "${options[@]}" --json >"$work/beside.json"
"$SFTN" compare "$work/teacher" --branches --cells 4 "${options[@]}" --json >"$work/branches.json"
"$python" -B tests/peers/compare.py check "$work/teacher" "$work/student" "$work/data/test.bin" \
    "$work/beside.json" "$work/branches.json"
