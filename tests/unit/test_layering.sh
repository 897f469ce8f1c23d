#!/usr/bin/env bash
# Folders of src/ depend only on folders before them; the command depends only on public headers.
set -euo pipefail

order="base data graph op nn model distill teacher task backend plan comm train report cli"

awk -v order="$order" '
BEGIN {
    n = split(order, names, " ")
    for (i = 1; i <= n; i++) level[names[i]] = i
}
FNR == 1 {
    split(FILENAME, part, "/")
    folder = part[2]
    if (!(folder in level)) {
        print FILENAME ": folder " folder " is not in the order of folders"
        bad = 1
    }
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    included = quoted[2]
    if (included !~ /\//) next               # a file of the same folder
    target = included
    sub(/\/.*/, "", target)
    if (target == "sftn" || target == folder) next
    if (folder == "cli") {
        print FILENAME ":" FNR ": the command includes " included ", which is not public"
        bad = 1
    } else if (!(target in level) || level[target] > level[folder]) {
        print FILENAME ":" FNR ": " folder "/ includes " included ", which comes later"
        bad = 1
    }
}
END { exit bad }
' $(find src -name '*.[ch]' -o -name '*.def')
