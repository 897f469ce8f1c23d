#!/usr/bin/env bash
# What is wrong with files, numbers or the machine: one sentence that names it, exit code 1, and
# nothing that was good before is damaged.
. "$(dirname "$0")/expect.sh"

small=(--data shapes --limit 128 --batch 32 --epochs 1)

# ---- data ----
expect 1 "" "sftn: cifar100 is not in $work/data/sftn *\`sftn data get cifar100\` downloads it, *" \
    train --data cifar100
expect 1 "" "sftn: nowhere: cannot open: No such file or directory; *" \
    train --data cifar100 --data-path nowhere
mkdir cut
head -c 100000 /dev/zero >cut/train.bin
head -c 100000 /dev/zero >cut/test.bin
expect 1 "" "sftn: cut/train.bin: truncated *: found 100000 bytes, *" \
    train --data cifar100 --data-path cut
https_proxy=http://127.0.0.1:9 expect 1 "" "https://*
sftn: https://*: no connection: *; is there a network?" data get cifar10
[[ ! -e data/sftn/cifar-10-binary.tar.gz ]] || fail "a failed download left an archive behind"

# ---- files of networks ----
expect 0 "*" "*" train --model resnet8 "${small[@]}" --out good
expect 1 "" "sftn: nothing: cannot open: No such file or directory" eval nothing
head -c 5000 good/model.safetensors >cut.safetensors
expect 1 "" "sftn: cut.safetensors: the header claims * of a file of 5000 *" eval cut.safetensors
printf 'GIF89a, no network' >other.safetensors
expect 1 "" "sftn: other.safetensors: *not a safetensors file*" eval other.safetensors
expect 1 "" "sftn: good/model.safetensors holds the network resnet8, expected resnet20" \
    teach --teacher resnet20 --student resnet8 \
    --init-from good/model.safetensors "${small[@]}" --out other
expect 1 "" "sftn: image.png: cannot open: No such file or directory" predict good image.png
printf 'no image' >image.png
expect 1 "" "sftn: image.png: neither PNG nor JPEG" predict good image.png

# ---- a damaged checkpoint ----
cp -r good damaged
head -c 20000 good/checkpoint.safetensors >damaged/checkpoint.safetensors
expect 1 "" "damaged: *
sftn: damaged/checkpoint.safetensors: array * (the file may be truncated)" train --model resnet8 "${small[@]}" --out damaged \
    --resume

# ---- a checkpoint of another run ----
expect 1 "" "good: *
sftn: good/checkpoint.safetensors is the checkpoint of a run that trains resnet8, *resnet14" \
    train --model resnet14 "${small[@]}" --out good --resume
expect 1 "" "good: *
sftn: good/checkpoint.safetensors is the checkpoint of another run: 'lr' is 0.05 there and 0.1 here" \
    train --model resnet8 "${small[@]}" --lr 0.1 --out good --resume

# ---- a loss that is not finite ----
expect 1 "" "wild: *
sftn: epoch 1*: *; training stops, the last checkpoint is kept*" \
    train --model resnet8 --data shapes --limit 512 --epochs 3 --lr 100 --weight-decay 1 --out wild

# ---- a full disk: a file system of 300 KiB where one can be mounted, else a limit on files ----
mkdir full
full_disk() {
    if unshare -rm true 2>/dev/null && unshare -rm mount -t tmpfs none full 2>/dev/null; then
        unshare -rm bash -c "mount -t tmpfs -o size=300k none full && exec \"\$@\"" _ "$@"
    else
        (trap '' XFSZ; ulimit -f 256; exec "$@")
    fi
}
code=0
full_disk "$SFTN" train --model resnet8 "${small[@]}" --out full/run >stdout 2>stderr || code=$?
[[ $code -eq 1 ]] || fail "full disk: exit code $code, expected 1: $(<stderr)"
grep -Eq "^sftn: .*(No space left on device|File too large)" stderr ||
    fail "full disk: $(<stderr)"
cp -r good kept
code=0
(trap '' XFSZ; ulimit -f 64; exec "$SFTN" train --model resnet8 "${small[@]}" --epochs 2 \
    --out kept --overwrite) >stdout 2>stderr || code=$?
[[ $code -eq 1 ]] || fail "full disk with an older run: exit code $code, expected 1: $(<stderr)"
same_files good/model.safetensors kept/model.safetensors
finish
