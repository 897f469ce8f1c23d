#!/usr/bin/env bash
# The whole path on a built-in data set in about three minutes on two cores: a teacher trained in
# the ordinary way and a student-friendly one, students of both, a student alone; a table and a plot.
#
#     scripts/demo.sh [SFTN_COMMAND]
#
# Everything is trained anew each time, into demo/ beside the command.
set -euo pipefail
cd "$(dirname "$0")/.."

sftn=${1:-build/sftn}
out=$(dirname "$sftn")/demo
teacher=resnet20 student=resnet8
# So short a training does better with many small steps, and a rate that rises and then falls.
common=(--data shapes --precision bfloat16 --epochs 4 --batch 32 --schedule cosine --warmup 1
        --seed 1)

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

rm -rf "$out"
mkdir -p "$out"
step "1/5  teacher $teacher, trained in the ordinary way"
"$sftn" train --model $teacher "${common[@]}" --out "$out/plain-teacher"
# From scratch, four epochs are too few for a teacher that also has to agree with its branches.
step "2/5  the same teacher, trained on together with branches of its student $student"
"$sftn" teach --teacher $teacher --student $student "${common[@]}" \
    --init-from "$out/plain-teacher/model.safetensors" --out "$out/friendly-teacher"
step "3/5  student $student alone"
"$sftn" train --model $student "${common[@]}" --out "$out/student-alone"
step "4/5  student $student of the ordinary teacher"
"$sftn" distill --teacher "$out/plain-teacher" --student $student "${common[@]}" \
    --out "$out/student-of-plain"
step "5/5  student $student of the friendly teacher"
"$sftn" distill --teacher "$out/friendly-teacher" --student $student "${common[@]}" \
    --out "$out/student-of-friendly"

step "result"
"$sftn" table "$out"/{plain-teacher,friendly-teacher,student-alone,student-of-plain,student-of-friendly} \
    --plot "$out/plot.png"
cat <<'TEXT'

What to look at: agreement and KL, how near a student's answers are to its teacher's.  So few epochs
scatter: which teacher is better shows in long trainings; the paper's gains are those of 240 epochs.
TEXT
