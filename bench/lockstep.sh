#!/usr/bin/env bash
# Five students of one teacher, trained at once and one after the other: time, processor time and
# memory of both, their ratios, and whether every student's checkpoint has the same bytes.
#
#     bench/lockstep.sh OUT [IMAGES] [EPOCHS] [PRECISION] [THREADS]
#
# Built-in images, teacher wrn_40_2, students wrn_16_2 with seeds 1 to 5, method kd; $TEACHER,
# $STUDENT and $METHOD name others.  Everything below OUT is trained anew.  "steps" is what the logs
# say of the training steps alone; "whole" also has start, tests after each epoch, and the comparison
# with the teacher at the end.
set -euo pipefail

out=${1:?a directory for the runs}
images=${2:-8192}
epochs=${3:-1}
precision=${4:-bfloat16}
threads=${5:-1}
sftn=${SFTN:-$(dirname "$0")/../build/sftn}
teacher=${TEACHER:-wrn_40_2} student=${STUDENT:-wrn_16_2} method=${METHOD:-kd}
common=(--data shapes --limit "$images" --batch 64 --precision "$precision" --threads "$threads")
distill=(distill --teacher "$out/teacher" --student "$student" --method "$method"
    --epochs "$epochs" "${common[@]}" --batch-seed 1 --min-teacher-accuracy 0 --overwrite)

# measure NAME ARGUMENTS...: run sftn and add a line "wall processor kilobytes" to OUT/NAME.times.
measure() {
    local name=$1
    shift
    /usr/bin/time -a -o "$out/$name.times" -f "%e %U %M" "$sftn" "$@" >>"$out/$name.log" 2>&1
}

# seconds RUN...: the sum of what the last lines of their logs say.
seconds() {
    for run in "$@"; do tail -n 1 "$run/log.jsonl"; done |
        sed 's/.*"seconds":\([0-9.]*\).*/\1/' | awk '{s += $1} END {printf "%.2f", s}'
}

mkdir -p "$out"
rm -f "$out"/*.times "$out"/*.log
[ -e "$out/teacher/model.safetensors" ] || measure teacher train --model "$teacher" --epochs 1 \
    "${common[@]}" --out "$out/teacher" --overwrite
measure together "${distill[@]}" --seed 1,2,3,4,5 --out "$out/together"
for seed in 1 2 3 4 5; do
    measure alone "${distill[@]}" --seed $seed --out "$out/alone-seed$seed"
done

same=0
for seed in 1 2 3 4 5; do
    cmp -s "$out"/{together/seed$seed,alone-seed$seed}/checkpoint.safetensors && same=$((same + 1))
done
printf '%s of %s from %s, %s images, %s epoch(s), %s, %s thread(s)\n' "$method" "$student" \
    "$teacher" "$images" "$epochs" "$precision" "$threads"
# Steps of students trained at once take the same seconds: those of the last to make one.
awk -v steps="$(seconds "$out"/alone-seed?)" -v once="$(seconds "$out/together/seed5")" '
    FNR == 1 { file++ }
    { wall[file] += $1; cpu[file] += $2; memory[file] = $3 > memory[file] ? $3 : memory[file] }
    END {
        printf "%-26s %12s %12s %8s\n", "", "one by one", "at once", "ratio"
        printf "%-26s %12.1f %12.1f %8.2f\n", "steps, s", steps, once, steps / once
        printf "%-26s %12.1f %12.1f %8.2f\n", "whole, s", wall[1], wall[2], wall[1] / wall[2]
        printf "%-26s %12.1f %12.1f %8.2f\n", "whole, processor s", cpu[1], cpu[2], cpu[1] / cpu[2]
        printf "%-26s %12.0f %12.0f %8.2f\n", "peak memory, MB", memory[1] / 1000,
            memory[2] / 1000, memory[1] / memory[2]
    }' "$out/alone.times" "$out/together.times"
echo "checkpoints with equal bytes: $same of 5"
[ "$same" -eq 5 ]
