#!/usr/bin/env bash
# tests/skips.sh BUILD: what the last run of ctest in BUILD skipped, whole tests and tests within a
# program, each with its reason.  Fails where one is not in tests/skips with that very reason, and
# where that list names a test that there is not.  Ends with "skips: N on the list, N not".
set -euo pipefail
build=${1:?usage: tests/skips.sh BUILD}
log=$(realpath "$build/Testing/Temporary/LastTest.log")
cd "$(dirname "$0")/.."

bad=0
complain() {
    echo "$*"
    bad=$((bad + 1))
}

# FOLDER/NAME of every entry that ran; FOLDER/NAME or FOLDER/NAME/TEST, and why, of everything skipped.
ran=$(sed -nE 's|^[0-9]+/[0-9]+ Test: ||p' "$log")
skipped=$(awk '
    /^[0-9]+\/[0-9]+ Test: / { entry = $3 }
    /^skipped: / { sub(/^skipped: /, ""); print entry ": " $0 }
    /^skipped [A-Za-z0-9_]+: / { sub(/^skipped /, ""); print entry "/" $0 }
' "$log" | sort -u)
list=$(grep -vE '^(#|$)' tests/skips)

listed=0 stale=()
while IFS= read -r skip; do
    [[ -n "$skip" ]] || continue
    if grep -qxF -- "$skip" <<<"$list"; then
        echo "skipped $skip"
        listed=$((listed + 1))
    else
        complain "skipped $skip: NOT in tests/skips"
    fi
done <<<"$skipped"

while IFS= read -r line; do
    name=${line%%: *}
    IFS=/ read -r folder entry test <<<"$name"
    if [[ -n "$test" ]]; then
        grep -qs "^TEST($test)" "tests/$folder/test_$entry.c"
    else
        [[ -e tests/$folder/test_$entry.sh || -e tests/$folder/test_$entry.c ]]
    fi || complain "tests/skips names $name, which is no test"
    if grep -qxF "$folder/$entry" <<<"$ran" && ! grep -qF -- "$name: " <<<"$skipped"; then
        stale+=("$name")
    fi
done <<<"$list"
[[ ${#stale[@]} -eq 0 ]] || printf 'may skip by tests/skips, but ran: %s\n' "${stale[@]}"

[[ -n "$ran" ]] || complain "$log: no test ran"

# A script that leaves with 77 and no such line would be missed above.
while IFS= read -r place; do
    complain "$place: exit 77 without a line 'skipped: REASON' before it"
done < <(awk '/exit 77/ && last !~ /echo "skipped: / { print FILENAME ":" FNR } { last = $0 }' \
    tests/*/test_*.sh)

echo "skips: $listed on the list, $bad not"
[[ $bad -eq 0 ]]
