#!/usr/bin/env bash
# Every public header compiles alone, as C17, without a warning.
set -euo pipefail

for header in include/sftn/*.h; do
    echo "#include \"sftn/${header##*/}\"" |
        "$CC" -std=c17 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only -x c - ||
        { echo "$header does not compile alone"; exit 1; }
done
