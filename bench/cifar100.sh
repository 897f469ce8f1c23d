#!/usr/bin/env bash
# CIFAR-100, teacher resnet20, student resnet8, a short schedule: the ordinary and the
# student-friendly teacher, the student alone, and the students of both by Hinton's KD.
#
#     bench/cifar100.sh ARCHIVE OUT [SEEDS] [PRECISION] [EPOCHS]
#
# ARCHIVE is the data set's archive or directory, SEEDS a list like "1 2 3".  Finished runs are kept and an
# interrupted one goes on where it stopped: call it again with the same arguments.  A table per seed
# ends in OUT/table-PRECISION-seedN.txt.
set -euo pipefail

data=${1:?the CIFAR-100 archive or directory}
out=${2:?a directory for the runs}
seeds=${3:-1 2 3}
precision=${4:-bfloat16}
epochs=${5:-20}
sftn=${SFTN:-$(dirname "$0")/../build/sftn}

# run NAME COMMAND...: train into OUT/NAME unless that is done.
run() {
    local dir="$out/$1" resume=()
    shift
    [ -e "$dir/done" ] && return
    [ -e "$dir/checkpoint.safetensors" ] && resume=(--resume)
    "$sftn" "$@" --data cifar100 --data-path "$data" --epochs "$epochs" --batch 64 --lr 0.05 \
        --precision "$precision" --out "$dir" "${resume[@]}"
    touch "$dir/done"
}

mkdir -p "$out"
for seed in $seeds; do
    tag="$precision-seed$seed"
    run "plain-$tag" train --model resnet20 --seed "$seed"
    run "friendly-$tag" teach --scheme sftn --teacher resnet20 --student resnet8 --seed "$seed"
    run "student-of-plain-$tag" distill --teacher "$out/plain-$tag" --student resnet8 --method kd \
        --seed "$seed"
    run "student-of-friendly-$tag" distill --teacher "$out/friendly-$tag" --student resnet8 \
        --method kd --seed "$seed"
    run "alone-$tag" train --model resnet8 --seed "$seed"
    "$sftn" table "$out"/{plain,friendly,alone,student-of-plain,student-of-friendly}-"$tag" \
        --plot "$out/plot-$tag.png" | tee "$out/table-$tag.txt"
done
