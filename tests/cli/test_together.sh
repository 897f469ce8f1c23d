#!/usr/bin/env bash
# Several students at once: lists on the command line, each student's directory, the same bytes as
# alone, and after a stop, a kill or a failure.
. "$(dirname "$0")/expect.sh"

small=(--data shapes --limit 128 --batch 32 --lr 0.02 --threads 1)
expect 0 "*" "*" train --model resnet8 --epochs 1 "${small[@]}" --out teacher
distill=(distill --teacher teacher --student resnet8 --min-teacher-accuracy 0 "${small[@]}")

same_run() {
    same_files "$1/checkpoint.safetensors" "$2/checkpoint.safetensors"
    same_files "$1/model.safetensors" "$2/model.safetensors"
    [[ $(wc -l <"$1/log.jsonl") -eq $(wc -l <"$2/log.jsonl") ]] ||
        fail "$1/log.jsonl and $2/log.jsonl differ in lines"
    [[ -f $1/summary.json ]] || fail "$1 has no summary"
}

# ---- a grid, and two of its members alone ----
grid=("${distill[@]}" --epochs 1 --method kd,at+kd --seed 1,2 --at.p 3)
expect 0 "kd-seed1
last epoch: test top-1 *
saved as grid/kd-seed1/model.safetensors, *
with its teacher: agreement *
kd-seed2
*
at+kd-seed1
*
at+kd-seed2
*with its teacher: *" "grid/kd-seed1: resnet8 *
grid/kd-seed2: *
kd-seed1     epoch 1/1  *
kd-seed2     epoch 1/1  *
at+kd-seed1  epoch 1/1  *
at+kd-seed2  epoch 1/1  *" "${grid[@]}" --out grid
expect 0 "*" "*" "${distill[@]}" --epochs 1 --method kd --seed 2 --batch-seed 1 --out alone-kd
expect 0 "*" "*" "${distill[@]}" --epochs 1 --method at+kd --at.p 3 --seed 1 --out alone-at
same_run alone-kd grid/kd-seed2
same_run alone-at grid/at+kd-seed1
expect 0 "*kd-seed1 *resnet8 *
at+kd-seed2 *" "" table grid/kd-seed1 grid/at+kd-seed2
expect 0 "images *" "" eval grid/kd-seed2

# ---- done before ----
expect 0 "kd-seed1
last epoch: *
saved before as grid/kd-seed1/model.safetensors
with its teacher: *
kd-seed2
*" "*" "${grid[@]}" --out grid --resume

pair=("${distill[@]}" --epochs 2 --method kd,at)

# The checkpoint of an epoch is written after its line of the log.
has_epoch() { [[ -s $1/log.jsonl && -f $1/checkpoint.safetensors ]]; }

same_pair() {
    same_run "$1/kd" pair/kd
    same_run "$1/at" pair/at
}

# ---- killed when one student may be an epoch ahead of the other, which goes on alone ----
expect 0 "*" "*" "${pair[@]}" --out pair
start killed "${pair[@]}"
wait_for "$pid" has_epoch killed/kd
end_with KILL "$pid"
start killed "${pair[@]}" --resume --save-minutes 0.0001
wait_for "$pid" has_epoch killed/at
end_with KILL "$pid"
expect 0 "last epoch: *" "*" "${distill[@]}" --epochs 2 --method at --out killed/at --resume
expect 0 "kd
last epoch: *
saved as killed/kd/model.safetensors, *
at
last epoch: *
saved before as killed/at/model.safetensors
with its teacher: *" "*" "${pair[@]}" --out killed --resume
same_pair killed

# ---- stopped with SIGTERM ----
start stopped "${pair[@]}"
wait_for "$pid" has_epoch stopped/kd
end_with TERM "$pid"
[[ $code -eq 143 ]] || fail "TERM: exit code $code, expected 143: $(<stopped.err)"
grep -q "^sftn: 2 of 2 runs stopped and saved$" stopped.err ||
    fail "TERM: no message that the runs were saved: $(<stopped.err)"
grep -q "^sftn: go on with: sftn distill .*--method kd,at .*--out stopped --resume$" stopped.err ||
    fail "TERM: no message how to resume: $(<stopped.err)"
expect 0 "kd
*" "*" "${pair[@]}" --out stopped --resume
same_pair stopped

# ---- a student that fails ----
expect 1 "kd.weight0.9
last epoch: *" "*
sftn: warning: kd.weight1e15: the gradient of 'kd' is *e+* times that of 'ce'; *
sftn: kd.weight1e15: epoch 1*; training stops, the last checkpoint is kept*" \
    "${distill[@]}" --epochs 1 --kd.weight 0.9,1e15 --out wild
[[ -f wild/kd.weight0.9/summary.json ]] || fail "the student that did not fail was not finished"
[[ ! -e wild/kd.weight1e15/model.safetensors ]] || fail "a student that failed left a network"

# ---- what cannot be ----
expect 2 "" "sftn: grid/kd-seed1 holds a run already; *" "${grid[@]}" --out grid
expect 2 "" "sftn: none/kd-seed1 holds no checkpoint to resume from" "${grid[@]}" --out none --resume
expect 2 "" "sftn: no distillation method called \"kdd\"; did you mean \"kd\"?" \
    "${distill[@]}" --method kd,kdd
expect 2 "" "sftn: no model called \"resnet9\"; did you mean \"resnet8\"?" \
    "${distill[@]/#resnet8/resnet8,resnet9}"
expect 2 "" "sftn: option seed: '2x', expected a whole number *" "${distill[@]}" --seed 1,2x
expect 2 "" "sftn: option --seed: '1,,2' has an empty element" "${distill[@]}" --seed 1,,2
expect 2 "" "sftn: option --seed has a list, and is given once more" \
    "${distill[@]}" --seed 3 --seed 1,2
expect 2 "" "sftn: distill has no option --kd.temprature; did you mean --kd.temperature?" \
    "${distill[@]}" --method kd,at --kd.temprature 1,2
expect 2 "" "sftn: distill has no option --fitnet.x*" "${distill[@]}" --method kd,at --fitnet.x 1
expect 2 "" "sftn: option epochs: '1,2', expected a whole number *" "${distill[@]}" --epochs 1,2
expect 2 "" "sftn: the lists have more than 256 combinations" "${distill[@]}" \
    --seed 1,2,3,4,5,6,7,8,9,10 --kd.temperature 1,2,3,4,5,6,7,8,9,10 --kd.weight 1,2,3
finish
