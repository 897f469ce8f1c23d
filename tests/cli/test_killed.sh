#!/usr/bin/env bash
# Runs that end without warning: a run killed with SIGKILL goes on from its last save, in mid-epoch
# too, to the same bytes; and the number of threads that a resumed run computes with.
. "$(dirname "$0")/expect.sh"

train=(train --model resnet8 --data shapes --limit 512 --batch 16 --lr 0.02 --epochs 2 --seed 5)

# kill_after_save DIR ARGUMENTS...: start a run and kill it right after its next save.
kill_after_save() {
    local before
    before=$(saves "$1")
    start "$@"
    wait_for "$pid" saved_since "$before" "$1"
    end_with KILL "$pid"
}

expect 0 "*" "*" "${train[@]}" --threads 1 --out whole
kill_after_save killed "${train[@]}" --threads 1 --save-minutes 0.0001
[[ -f killed/log.jsonl && ! -s killed/log.jsonl ]] || fail "the first save was not in mid-epoch"
[[ ! -e killed/model.safetensors ]] || fail "a network was written before the end of an epoch"
for _ in 1 2 3; do
    kill_after_save killed "${train[@]}" --threads 1 --save-minutes 0.0001 --resume
done
expect 0 "last epoch: *" "*" "${train[@]}" --threads 1 --out killed --resume
same_files whole/checkpoint.safetensors killed/checkpoint.safetensors
same_files whole/model.safetensors killed/model.safetensors
[[ $(wc -l <killed/log.jsonl) -eq 2 ]] || fail "log.jsonl has not one line an epoch"

# ---- threads: the checkpoint's, unless others are asked for ----
other=$(($(env -u OMP_NUM_THREADS nproc) + 1))
train=(train --model resnet8 --data shapes --limit 64 --batch 16 --epochs 1)
kill_after_save threads "${train[@]}" --threads "$other" --save-minutes 0.0001
cp -r threads asked
cp -r threads warned
expect 0 "last epoch: *" "threads: $other threads, as its checkpoint; --threads asks for another number
threads: resnet8 *" "${train[@]}" --out threads --resume
expect 0 "last epoch: *" "asked: resnet8 *" "${train[@]}" --threads "$other" --out asked --resume
same_files threads/checkpoint.safetensors asked/checkpoint.safetensors
expect 0 "last epoch: *" \
    "sftn: warning: warned was computed with $other threads; with 1 it goes on, but not to the same bits
warned: resnet8 *" "${train[@]}" --threads 1 --out warned --resume
finish
