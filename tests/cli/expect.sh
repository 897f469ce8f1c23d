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

# start DIR ARGUMENTS...: a run into DIR in the background, with its output in DIR.out and DIR.err;
# sets pid.
start() {
    local dir=$1
    shift
    "$SFTN" "$@" --out "$dir" >"$dir.out" 2>"$dir.err" &
    pid=$!
}

# wait_for PID CONDITION...: until the condition, a command, holds; a failure where the process ends
# without it, or where ten minutes do not bring it.
wait_for() {
    local process=$1 end=$((SECONDS + 600))
    shift
    until "$@"; do
        if ! kill -0 "$process" 2>/dev/null; then
            "$@" || fail "the process ended before: $*"
            return 0
        elif [[ $SECONDS -ge $end ]]; then
            fail "after ten minutes still not: $*"
            return 0
        fi
        sleep 0.005
    done
}

has_lines() { [[ -f $1 && $(wc -l <"$1") -ge $2 ]]; }
# saves DIR: the checkpoints in and below it with their times; what saved_since compares.
saves() {
    if [[ -d $1 ]]; then
        find "$1" -name checkpoint.safetensors -printf '%p %T@\n' | sort
    fi
}
saved_since() { [[ $(saves "$2") != "$1" ]]; }

# end_with SIGNAL PID: send it, and set code.
end_with() {
    code=0
    kill "-$1" "$2" 2>/dev/null || fail "the process ended before it was sent SIG$1"
    wait "$2" 2>/dev/null || code=$?
}

finish() {
    [[ $failures -eq 0 ]] || { echo "$failures failed"; exit 1; }
}
