#!/usr/bin/env bash
# No source file is longer than 800 lines, no line wider than 100 columns.
set -euo pipefail

awk '
FNR == 801 { print FILENAME ": longer than 800 lines"; bad = 1 }
length > 100 { print FILENAME ":" FNR ": " length " columns"; bad = 1 }
END { exit bad }
' $(find include src tests -name '*.[ch]')
