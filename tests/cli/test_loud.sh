#!/usr/bin/env bash
# What must not pass unnoticed: a teacher that guesses, a term of the loss that teaches nothing or
# drowns the labels.
. "$(dirname "$0")/expect.sh"

small=(--data shapes --limit 64 --batch 32 --lr 0.02 --epochs 1 --threads 1)
expect 0 "*" "*" train --model resnet8 "${small[@]}" --out teacher
distill=(distill --teacher teacher --student resnet8 "${small[@]}")

# ---- teachers: one epoch of two batches teaches nothing ----
expect 1 "" "sftn: teacher/model.safetensors has *% of the test images of shapes right, where \
guessing has 4.17%: expected 8.33% or more; --min-teacher-accuracy sets another bound, 0 takes \
any teacher" "${distill[@]}" --out refused
expect 1 "" "sftn: teacher/model.safetensors has *% of the test images of shapes right: expected \
90.50% or more; *" "${distill[@]}" --min-teacher-accuracy 90.5 --out refused
expect 1 "" "sftn: teacher/model.safetensors has *% of the validation images of shapes right: \
expected 100.00% or more; *" "${distill[@]}" --min-teacher-accuracy 100 --validation 16 --test end \
    --out refused
[[ ! -e refused ]] || fail "a refused teacher left a run directory"
expect 2 "" "sftn: option min-teacher-accuracy: *101*" "${distill[@]}" --min-teacher-accuracy 101
expect 0 "*" "teacher teacher/model.safetensors: test top-1 *%
run: resnet8 *
gradients beside the labels': kd *
epoch 1/1 *" "${distill[@]}" --min-teacher-accuracy 0.1 --out run
grep -A 2 '"teacher": *{' run/summary.json | grep -q '"test_top1": *[0-9.]*$' ||
    fail "the summary does not say the teacher's accuracy: $(<run/summary.json)"
grep -A 5 '"gradients": *{' run/summary.json | grep -q '"ratio": *[0-9.]*$' ||
    fail "the summary does not say how the terms pull: $(<run/summary.json)"

# ---- terms that pull too little or too much ----
any=(--min-teacher-accuracy 0)
expect 0 "*" "run: *
gradients beside the labels': kd *, at *
sftn: warning: the gradient of 'kd' is *e-* times that of 'ce'; instead of its weight of 1e-07, \
* would make them equal
epoch 1/1 *" "${distill[@]}" "${any[@]}" --method kd+at --kd.weight 1e-7 --out run --overwrite
expect 0 "*" "*
kd  gradients beside the labels': kd *
at  gradients beside the labels': at *" "${distill[@]}" "${any[@]}" --method kd,at --out pair
expect 0 "*" "mutual: *
gradients beside the labels': dml *, dml.peer2 *
epoch 1/1 *" mutual --student resnet8 --peers resnet8 "${small[@]}" --out mutual
general=(mutual --student resnet8 --peers resnet8 --method kdcl --kdcl.ensemble general)
expect 1 "" "general: *
sftn: kdcl's general ensemble weighs the networks by their errors on held-out images, and of the data \
set shapes none are held out: give --validation N" "${general[@]}" "${small[@]}" --out general
expect 0 "*" "general: *
gradients beside the labels': kdcl *, kdcl.peer2 *
epoch 1/1 *  kdcl.weights 0.*,0.*  *" "${general[@]}" "${small[@]}" --validation 16 --out general
expect 0 "*" "friendly: *
gradients beside the labels': kl *, branch_ce *
epoch 1/1 *" teach --teacher resnet8 --student resnet8 "${small[@]}" --out friendly
grep -q '"branch_ce": *{' friendly/summary.json || fail "a teacher's summary has no gradients"

# ---- not again when a run is resumed, but still in its summary ----
start again "${distill[@]}" "${any[@]}" --epochs 3
wait_for "$pid" has_lines again/log.jsonl 1
end_with TERM "$pid"
grep -q "^gradients beside the labels': kd" again.err || fail "no gradients: $(<again.err)"
run "${distill[@]}" "${any[@]}" --epochs 3 --out again --resume
[[ $code -eq 0 ]] || fail "resumed: exit code $code: $err"
[[ $err != *gradients* ]] || fail "gradients were measured once more: $err"
grep -q '"gradients": *{' again/summary.json || fail "the resumed run's summary has no gradients"

# ---- terms that teach nothing ----
expect 1 "" "*sftn: the gradient of the loss term 'dkd' (weight 1) into resnet8 is exactly 0 on *" \
    "${distill[@]}" "${any[@]}" --method dkd --dkd.alpha 0 --dkd.beta 0 --out nothing
[[ ! -e nothing/checkpoint.safetensors ]] || fail "a run that never began left a checkpoint"
# Two images, in one order or the other, and weights that do not move.
expect 1 "" "*
sftn: epoch 20, batch 1: the loss term 'ce' (weight 1) stayed at exactly * over 20 steps: it trains \
nothing; training stops, the last checkpoint is kept" \
    train --model resnet8 --data shapes --limit 2 --batch 2 --no-augment --lr 0 --epochs 30 \
    --threads 1 --test end --out still
[[ $(wc -l <still/log.jsonl) -eq 19 ]] || fail "the log of the stopped run has not 19 epochs"
expect 0 "images *" "" eval still/checkpoint.safetensors
finish
