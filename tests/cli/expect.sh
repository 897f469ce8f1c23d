# expect.sh: what the scripts of this folder share.  $SFTN is the command under test; the scripts run
# in an empty directory of their own, $work, which is removed at the end.
set -euo pipefail

source_dir=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/cache
unset SFTN_DATA

failures=0
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# run ARGUMENTS...: sets code, out and err.
run() {
    code=0
    "$SFTN" "$@" >"$work/stdout" 2>"$work/stderr" || code=$?
    out=$(<"$work/stdout")
    err=$(<"$work/stderr")
}

# expect CODE STDOUT STDERR ARGUMENTS...: exactly these; "*" is anything, within a text too.
expect() {
    local want_code=$1 want_out=$2 want_err=$3
    shift 3
    run "$@"
    # Unquoted on the right: the wanted texts are patterns.
    if [[ $code -ne $want_code ]]; then
        fail "sftn $*: exit code $code, expected $want_code"$'\n'"$out"$'\n'"$err"
    elif [[ "$out" != $want_out ]]; then
        fail "sftn $*: standard output is"$'\n'"$out"$'\n'"expected"$'\n'"$want_out"
    elif [[ "$err" != $want_err ]]; then
        fail "sftn $*: standard error is"$'\n'"$err"$'\n'"expected"$'\n'"$want_err"
    fi
}

same_files() { cmp -- "$1" "$2" || fail "$1 and $2 differ"; }

finish() {
    [[ $failures -eq 0 ]] || { echo "$failures failed"; exit 1; }
}
