#!/usr/bin/env bash
# What is said of results is made from their numbers: where these turn round, the sentences do.
. "$(dirname "$0")/expect.sh"

# row NAME GROUP SEED TOP1 [TEACHER KL]: a row of an experiment's results.
row() {
    local name=$1 group=$2 seed=$3 top1=$4
    local kind='"kind": "teacher", "teacher": "'$group'", "scheme": "'${group/friendly/sftn}'"'
    [[ $# -eq 4 ]] ||
        kind='"kind": "student", "student": "resnet8", "method": "kd", "teacher": "'$5'",
              "teacher_run": "'$5'-seed'$seed'", "agreement": 80, "kl_teacher_student": '$6
    echo '{"name": "'$name'", "group": "'$group'", "network": "resnet8", "seed": '$seed', '$kind',
           "state": "done", "epochs": 9, "train_top1": 100, "test_top1": '$top1',
           "data": "shapes", "options": {}, "teacher_options": {}}'
}

# results FILE GAIN KL: three seeds, in which the friendly teacher and its student are better by
# about GAIN points, the student's divergence is KL instead of 0.5.
results() {
    local file=$1 gain=$2 kl=$3 seed comma=
    {
        echo '{"experiment": "words", "runs": ['
        for seed in 1 2 3; do
            echo "$comma$(row plain-seed$seed plain $seed 50)"
            echo ",$(row friendly-seed$seed friendly $seed $((50 + gain)).$seed)"
            echo ",$(row kd-of-plain-seed$seed kd-of-plain $seed 40 plain 0.5)"
            echo ",$(row kd-of-friendly-seed$seed kd-of-friendly $seed $((40 + gain)).$seed friendly "$kl$seed")"
            comma=,
        done
        echo ']}'
    } >"$file"
}

results better.json 5 0.2
expect 0 "*kd-of-friendly beside kd-of-plain
    test accuracy: higher by 5.20 points (+4.95 to +5.45), higher with 3 of 3 seeds
    agreement with its teacher: no difference shown, +0.00 points (+0.00 to +0.00)
    KL(teacher || student): lower by 0.2800 (*), lower with 3 of 3 seeds

friendly beside plain
    test accuracy: higher by 5.20 points *" "" table better.json --group seeds

results worse.json -6 0.7
expect 0 "*kd-of-friendly beside kd-of-plain
    test accuracy: lower by 5.80 points (-6.05 to -5.55), lower with 3 of 3 seeds
*
    KL(teacher || student): higher by 0.2200 (*), higher with 3 of 3 seeds

friendly beside plain
    test accuracy: lower by 5.80 points *" "" table worse.json --group seeds

# The demonstration itself says nothing of its results but what `sftn run` says.
said=$(sed -n '/^cat <<TEXT/,/^TEXT/p' "$source_dir/scripts/demo.sh")
for word in better worse higher lower more less gain; do
    ! grep -qw "$word" <<<"$said" || fail "scripts/demo.sh says \"$word\", whatever came out"
done
finish
