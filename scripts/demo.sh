#!/usr/bin/env bash
# The whole path on a built-in data set, experiments/demo.yaml, in four to eight minutes on two
# cores: a teacher trained in the ordinary way and a student-friendly one, a student of each and one
# alone; a table and a plot.
#
#     scripts/demo.sh [SFTN_COMMAND]
#
# The networks are kept in demo/ beside the command: after Ctrl-C the same command goes on, and what
# is trained is not trained again.
set -euo pipefail
cd "$(dirname "$0")/.."

sftn=${1:-build/sftn}
out=$(dirname "$sftn")/demo

mkdir -p "$out"
"$sftn" run experiments/demo.yaml --cache "$out" --results "$out/results.json"
"$sftn" table "$out/results.json" --plot "$out/plot.png" >/dev/null
cat <<TEXT

plain and friendly are the teachers, resnet20 without and with branches of its student while it trains.
Both fit the 600 training images; the friendly one knows far more of the test images, and so does its
student (-kd-of-friendly) beside the ordinary teacher's (-kd-of-plain) and one without a teacher (-alone).
So large a gain is that of a small and clean data set; docs/study.md has CIFAR-100, and when it pays.

Accuracy by epoch:  $out/plot.png
To look closer:     $sftn compare $out/teach-* --branches --limit 700 --validation 100
TEXT
