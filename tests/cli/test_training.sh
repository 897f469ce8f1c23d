#!/usr/bin/env bash
# Training through the command: runs, their files, interruption and exact resumption, and everything
# that reads a run.
. "$(dirname "$0")/expect.sh"

small=(--data shapes --limit 512 --batch 32 --lr 0.02)

# interrupt SIGNAL CODE DIR ARGUMENTS...: stop a run in its second epoch, then resume it.
interrupt() {
    local signal=$1 want=$2 dir=$3
    shift 3
    start "$dir" "$@"
    wait_for "$pid" has_lines "$dir/log.jsonl" 1
    end_with "$signal" "$pid"
    [[ $code -eq $want ]] || fail "$signal: exit code $code, expected $want: $(<"$dir.err")"
    grep -q "^sftn: stopped after [123] of [34] epochs .*; saved in $dir/checkpoint" "$dir.err" ||
        fail "$signal: no message that the run was saved: $(<"$dir.err")"
    grep -q "^sftn: go on with: sftn $1 .*--out $dir --resume$" "$dir.err" ||
        fail "$signal: no message how to resume: $(<"$dir.err")"
    expect 0 "last epoch: test top-1 *" "*" "$@" --out "$dir" --resume
}

# ---- train; SIGTERM and resume give the same bytes ----
train=(train --model resnet8 --epochs 4 --seed 3 "${small[@]}")
expect 0 "last epoch: test top-1 *%, top-5 *%
saved as whole/model.safetensors, *" "whole: resnet8 (* parameters), 512 images of shapes, 4 epochs
epoch 1/4  lr 0.02 *
epoch 2/4 *
epoch 3/4 *
epoch 4/4 *" "${train[@]}" --out whole
[[ $(wc -l <whole/log.jsonl) -ge 4 ]] || fail "log.jsonl has fewer lines than epochs"
interrupt TERM 143 halves "${train[@]}"
same_files whole/checkpoint.safetensors halves/checkpoint.safetensors
same_files whole/model.safetensors halves/model.safetensors

# ---- a run is not overwritten by accident ----
expect 2 "" "sftn: whole holds a run already; --resume goes on with it, --overwrite *" \
    "${train[@]}" --out whole
expect 2 "" "sftn: nothing holds no checkpoint to resume from" "${train[@]}" --out nothing --resume

# ---- teach; Ctrl-C ----
teach=(teach --scheme sftn --teacher resnet14 --student resnet8 --epochs 3 "${small[@]}")
interrupt INT 130 teacher "${teach[@]}"
expect 0 "last epoch: *" "*" "${teach[@]}" --out teacher2
same_files teacher/model.safetensors teacher2/model.safetensors
same_files teacher/branches.safetensors teacher2/branches.safetensors

# ---- the cheap variant ----
expect 0 "*" "*" teach --init-from whole/model.safetensors --teacher resnet8 --student resnet8 \
    --epochs 1 "${small[@]}" --out cheap

# ---- distill, from scratch and from a branch; so short a training leaves a teacher that guesses ----
any=(--min-teacher-accuracy 0)
expect 0 "last epoch: *
with its teacher: agreement *%, KL(teacher || student) *" "*" \
    distill --teacher teacher --student resnet8 --method kd --kd.temperature 2 --epochs 2 \
    "${any[@]}" "${small[@]}" --out student
expect 0 "*" "*" distill --teacher teacher/model.safetensors --student resnet8 --method kd+at \
    --epochs 1 --init-from-branch teacher/branches.safetensors --branch 1 "${any[@]}" "${small[@]}" \
    --out started

expect 0 "*" "*" distill --teacher teacher --student resnet8 --method fitnet+rkd --pair stage3 \
    --epochs 1 "${any[@]}" "${small[@]}" --out paired
grep -q '"method1-pairs": *"stage3"' paired/summary.json || fail "the run does not say its pairs"
expect 1 "" "*sftn: resnet8: at: the student has no tap \"stage5\"; *" \
    distill --teacher teacher --student resnet8 --method at --pair stage5 "${any[@]}" "${small[@]}" \
    --out none
expect 1 "" "*sftn: resnet8x4: fsp: the student's *" distill --teacher teacher --student resnet8x4 \
    --method fsp "${any[@]}" "${small[@]}" --out none

# ---- bench ----
expect 0 "method            images/s      of kd     parameters         memory
kd * % * 0 * bytes
fitnet * % *
*ab before * % *
*dist * % *
*sskd before * % *
*dml * % *
*kdcl * % *" "" bench --methods --steps 1 --teacher resnet8 --student resnet8 --batch 2 \
    --image-size 16 --classes 5
expect 0 "{ \"method\": \"kd\", \"images_per_s\": *, \"share_of_kd\": *
*" "*sftn: *fsp: the student's *" bench --methods --steps 1 --teacher resnet8 --student resnet8x4 \
    --batch 2 --image-size 16 --classes 5 --json

# ---- eval ----
expect 0 "images *
top-1 *%
top-5 *%
cross-entropy *" "" eval whole
expect 0 "{ \"model\": \"student/model.safetensors\", \"images\": *\"loss\": *}" "" eval student --json

# ---- compare ----
expect 0 "images *
*teacher       student
*resnet8       resnet8
training top-1 * %  * %
test top-1 * %  * %
cross-entropy *
mean confidence *
calibration error *
entropy *
agreement                                     100.00 %
KL(teacher || student)                          0.0000
KL(student || teacher)                          0.0000
CKA of logits                                   1.0000
CKA of pooled features                          1.0000
CKA of stage1                                   1.0000
CKA of stage2                                   1.0000
CKA of stage3                                   1.0000" \
    "sftn: warning: whole was trained on other images than the training images here; *" \
    compare whole whole --limit 64
expect 0 "images *
*teacher       branch1       branch2
*resnet14 *
test top-1 * %  * %  * %
*CKA of stage2 *            -
CKA of stage3 *" "" compare teacher --branches --no-training
expect 0 "{ \"split\": \"train\", \"images\": 64, \"teacher\": { \"name\": \"resnet14\", \"top1\": *\
\"students\": \[ { \"name\": \"resnet8\", *\"taps\": \[ \] } \] }" "*warning: teacher was *warning: student was *" \
    compare teacher student --split train --limit 64 --cells 0 --json
expect 1 "" "sftn: whole/branches.safetensors: *" compare whole --branches
expect 2 "" "sftn: compare takes a teacher and a student, or a teacher and --branches" compare whole
expect 2 "" "sftn: compare takes *" compare whole whole --branches

# ---- predict ----
expect 0 "one.png" "" data sheet shapes one.png --split test --columns 1 --rows 1 --zoom 1
expect 0 "one.png
  *%  *
  *%  *" "" predict whole one.png --top 2
expect 0 "{ \"image\": \"one.png\", \"classes\": \[ { \"class\": \"*\", \"probability\": * } \] }" "" \
    predict whole one.png --top 1 --json
expect 1 "one.png*" "sftn: *none.png*" predict whole one.png none.png

# ---- table ----
expect 0 "run      network  seed  epochs  test, last epoch  training  agreement      KL
whole    resnet8     3       4  *%  *%          -       -
student  resnet8     1       2  *%  *%  *%  *" "plot: plot.png" table whole student --plot plot.png
[[ $(head -c 4 plot.png | tail -c 3) == PNG ]] || fail "plot.png is no PNG file"
expect 1 "" "sftn: nothing/log.jsonl: *" table nothing
expect 1 "run *" "sftn: plot: the name plot.pdf ends neither in .svg nor in .png" \
    table whole --plot plot.pdf

# ---- table: runs of several seeds, students of two teachers ----
tiny=(--data shapes --limit 64 --batch 32)
for seed in 1 2; do
    expect 0 "*" "*" train --model resnet14 --epochs 1 "${tiny[@]}" --seed $seed --out plain$seed
    expect 0 "*" "*" teach --teacher resnet14 --student resnet8 --epochs 1 "${tiny[@]}" --seed $seed \
        --out friendly$seed
    for teacher in plain friendly; do
        expect 0 "*" "*" distill --teacher $teacher$seed --student resnet8 --method kd,at --epochs 1 \
            --seed $seed "${any[@]}" "${tiny[@]}" --out of-$teacher$seed
    done
done
students=(of-plain1/* of-plain2/* of-friendly1/* of-friendly2/*)
expect 0 "runs                          seeds *
resnet8 at of resnet14 plain      2  * ± *
resnet8 kd of resnet14 plain      2  * ± *
resnet8 at of resnet14 sftn       2  * ± *
resnet8 kd of resnet14 sftn       2  * ± *

mean *
difference of                        minus                                 pairs *
resnet8 at of resnet14 sftn          resnet8 at of resnet14 plain              2  * (* to *) *
resnet8 kd of resnet14 sftn          resnet8 kd of resnet14 plain              2  * (* to *) *
mean of 2 students of resnet14 sftn  mean of 2 students of resnet14 plain      2  * (* to *) *" "" \
    table "${students[@]}" --group seeds
expect 0 "*
mean *
resnet14 sftn  resnet14 plain      2 *" "" table plain? friendly? --group seeds \
    --against "resnet14 plain"
expect 1 "" "sftn: no group and no teacher is called \"x\"; there are \"resnet14 plain\"" \
    table plain1 --group seeds --against x
expect 2 "" "sftn: --against compares groups: *" table plain1 --against x
expect 2 "" "sftn: --plot-kind draws groups: *" table plain1 --plot-kind intervals
expect 0 "*" "plot: plot.svg" table "${students[@]}" --group seeds --plot-kind differences \
    --plot plot.svg
grep -q "<svg" plot.svg || fail "plot.svg is no SVG file"
finish
