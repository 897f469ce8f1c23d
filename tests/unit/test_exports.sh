#!/usr/bin/env bash
# The shared library exports exactly the functions that the public headers declare with SFTN_API.
# Nothing in it prints to the terminal or ends the process.
set -euo pipefail

declared=$(cat include/sftn/*.h | sed -E 's@/\*([^*]|\*+[^*/])*\*+/@@g' | tr '\n' ' ' |
    sed -E 's@/\*([^*]|\*+[^*/])*\*+/@ @g; s/SFTN_API/\n&/g' | grep '^SFTN_API' |
    sed -E 's/^SFTN_API ([^(;[]*).*/\1/; s/ *$//; s/.*[ *]//' | grep '^sftn_' | sort -u)
exported=$(nm -D --defined-only "$SFTN_LIBRARY" | awk '{ print $NF }' |
    grep -Ev '^(__|_init$|_fini$)' | sort -u)

status=0
while read -r name; do
    echo "exported, but not declared in include/sftn: $name"
    status=1
done < <(comm -13 <(echo "$declared") <(echo "$exported"))
while read -r name; do
    echo "declared in include/sftn, but not exported: $name"
    status=1
done < <(comm -23 <(echo "$declared") <(echo "$exported"))

used=$(nm -D --undefined-only "$SFTN_LIBRARY" | awk '{ sub(/@.*/, "", $NF); print $NF }')
for name in exit _exit abort printf puts putchar vprintf perror stdout stderr __printf_chk; do
    if grep -qx "$name" <<<"$used"; then
        echo "the library calls $name"
        status=1
    fi
done
exit $status
