#!/usr/bin/env bash
# The whole path on real images, experiments/demo.yaml, in under six minutes on two cores: teachers
# trained in the ordinary way and student-friendly ones, a student of each, several seeds; tables, what
# they say, a plot.
#
#     scripts/demo.sh [SFTN_COMMAND]
#
# The networks are kept in demo/ beside the command: after Ctrl-C the same command goes on, and what
# is trained is not trained again.  What is said of the results is said by `sftn run`, from them.
set -euo pipefail
cd "$(dirname "$0")/.."

sftn=${1:-build/sftn}
out=$(dirname "$sftn")/demo

mkdir -p "$out"
"$sftn" run experiments/demo.yaml --cache "$out" --results "$out/results.json"
"$sftn" table "$out/results.json" --group seeds --plot-kind intervals --height 320 \
    --plot "$out/plot.png" >/dev/null
friendly=("$out"/teach-*)
cat <<TEXT

plain and friendly are teachers: resnet20 trained by itself, and with branches of its student.
resnet8-kd-of-plain and -of-friendly are students, resnet8, taught by them.  README.md has the same
for ten seeds and two instruction sets; docs/study.md says what was shown beyond it, and what not.

Test accuracy:   $out/plot.png
To look closer:  $sftn compare ${friendly[0]} --branches --data fashion-mnist --limit 500
TEXT
