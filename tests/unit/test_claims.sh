#!/usr/bin/env bash
# Every mean with its standard deviation or interval in README.md and docs/ is printed by one of the
# `sftn table results/...` commands that these pages give; every results file that they name exists.
set -euo pipefail

pages=(README.md docs/*.md)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# figures FILE...: "43.55 ± 0.52" and "+1.40 (-0.92 to +3.72)", a line each.
figures() {
    grep -ohE '[0-9.]+ ± [0-9.]+|[-+][0-9.]+ \([-+][0-9.]+ to [-+][0-9.]+\)' "$@" | sort -u
}

grep -hE '^    sftn table results/' "${pages[@]}" | sed -E 's/#.*//; s/ --plot [^ ]+//; s/^ *sftn //' |
    sort -u >"$work/commands"
while read -r -a command; do
    "$SFTN" "${command[@]}" >>"$work/printed"
done <"$work/commands"

status=0
figures "$work/printed" >"$work/known"
while read -r figure; do
    echo "in no results file: $figure, in $(grep -lF -e "$figure" "${pages[@]}" | tr '\n' ' ')"
    status=1
done < <(figures "${pages[@]}" | comm -23 - "$work/known")
while read -r file; do
    [ -e "results/$file" ] || { echo "named, but not there: results/$file" && status=1; }
done < <(grep -ohE '`(results/)?(study[a-z-]*|cifar100-short|methods|compare)\.json`|results/[a-z0-9-]+\.json' \
    "${pages[@]}" | tr -d '`' | sed 's@results/@@' | sort -u)
[ "$(figures "${pages[@]}" | wc -l)" -gt 50 ] || { echo "the pages' figures were not found" && status=1; }
exit $status
