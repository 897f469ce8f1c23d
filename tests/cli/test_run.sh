#!/usr/bin/env bash
# Experiments: a file's mistakes, its expansion, what is cached, and the same table after kills, a
# stop, a time limit, with other numbers of processes; as many processes as there are cores; a
# training that fails leaves the others.
. "$(dirname "$0")/expect.sh"

# ---- ten mistakes, ten messages ----
cat >ten.yaml <<'E_O_F'
data: {data: shaps}
common: {epoch: 2, batch: 0}
teachers:
  plain: {scheme: plain, model: resnet9}
  friendly: {scheme: sftn, model: resnet8, student: resnet8, lamda-kl: 1}
  tuned: {scheme: sftn, model: resnet8, detach: perhaps, from: plan}
students: [resnet8]
methods:
  kd: {kd.temperature: -4}
  fitnets: {}
alon: true
E_O_F
expect 2 "" "sftn: ten.yaml, line 1: no data set called \"shaps\"; did you mean \"shapes\"[?]
sftn: ten.yaml, line 2: option batch: '0', expected a whole number from 1 to 65536
sftn: ten.yaml, line 2: there is no option 'epoch' of all trainings; did you mean 'epochs'[?]
sftn: ten.yaml, line 4: no model called \"resnet9\"; did you mean \"resnet8\"[?]
sftn: ten.yaml, line 5: there is no option 'lamda-kl' of a teacher of scheme sftn; did you mean 'lambda-kl'[?]
sftn: ten.yaml, line 6: no teacher called \"plan\"; did you mean \"plain\"[?]
sftn: ten.yaml, line 6: option detach: 'perhaps', expected true or false
sftn: ten.yaml, line 9: method kd: option temperature: '-4', expected a number from 0.01 to 1000
sftn: ten.yaml, line 10: no distillation method called \"fitnets\"; did you mean \"fitnet\"[?]
sftn: ten.yaml, line 11: no section called \"alon\"; did you mean \"alone\"[?]" run ten.yaml
[[ $(wc -l <stderr) -eq 10 ]] || fail "ten mistakes are not ten messages: $err"

printf 'teachers: {a: [\n' >broken.yaml
expect 2 "" "sftn: broken.yaml, line *: this is no YAML: *" run broken.yaml
printf '' >empty.yaml
expect 2 "" "sftn: empty.yaml, line 1: the file is empty; *" run empty.yaml
printf 'students: [resnet8]\n' >idle.yaml
expect 2 "" "sftn: idle.yaml, line 1: nothing trains the students*" run idle.yaml
printf 'students: [resnet8]\nalone: true\nseeds: [1, x]\ncommon: {seed: 3, lr: 1, lr: 2, pad: {a: 1}, gamma: }' \
    >kinds.yaml
expect 2 "" "sftn: kinds.yaml, line 3: option seed: 'x', expected *
sftn: kinds.yaml, line 4: 'gamma' has no value
sftn: kinds.yaml, line 4: 'lr' is given twice; the first is in line 4
sftn: kinds.yaml, line 4: 'pad' is a mapping, expected a single value
sftn: kinds.yaml, line 4: 'seed' is no option here*" run kinds.yaml
expect 2 "" "sftn: none.yaml, line 1: the file cannot be opened: *" run none.yaml
cat >words.yaml <<'E_O_F'
data: {data: shapes}
teachers:
  a: {modle: resnet8, teachr: resnet8}
  b: {scheme: plain, model: resnet8, lambda-kl: 1, from: a, init-from: a}
  c: {scheme: plain, model: resnet8, form: a, from: c}
students: {s: {modell: resnet8}}
methods: [kd]
E_O_F
expect 2 "" "*line 3: there is no option 'modle' of a teacher; did you mean 'model'[?]
sftn: words.yaml, line 3: there is no option 'teachr' of a teacher; did you mean 'model'[?]
*line 4: 'init-from' says where a network starts that starts 'from' a
sftn: words.yaml, line 4: there is no option 'lambda-kl' of a teacher of scheme plain; *
*line 5: the teacher 'c' cannot start from itself
sftn: words.yaml, line 5: there is no option 'form' of a teacher of scheme plain; did you mean 'from'[?]
*there is no option 'modell' of a student with a teacher; did you mean 'model'[?]" run words.yaml
expect 2 "" "sftn: option --time-limit is '1h30'; expected a time like *" run --time-limit 1h30 none.yaml
printf 'data: {data: shapes, limit: 64}\nteachers: {s-alone: {scheme: plain, model: resnet14}}\nalone: true
students: {s: {model: resnet8}}\nmethods: [kd]\n' >same.yaml
expect 2 "" "sftn: two different trainings are both called s-alone-seed1; *" run same.yaml --dry-run

# ---- expansion and hashes ----
cat >plan.yaml <<'E_O_F'
data: {data: shapes, limit: 64}
common: {epochs: [1, 2], batch: 32}
teachers:
  plain: {scheme: plain, model: resnet8}
  long: {scheme: plain, model: resnet8, epochs: 3}
  friendly: {scheme: sftn, model: resnet8, student: resnet8, lambda-kl: [0.3, 3], from: plain}
students: {small: {model: resnet8}}
methods: {hot: {method: kd, kd.temperature: [2, 8]}}
alone: true
seeds: [1, 2]
E_O_F
plan() { "$SFTN" run --dry-run --no-time "$@"; }
plan plan.yaml >plan.out
# For each seed: 2 plain, 1 long, 4 friendly; 2 x 2 by a method from 4 teachers in 2 lengths.
grep -q '^plan: 46 trainings, 0 cached, 46 to do$' plan.out ||
    fail "the lists stand for another number of trainings: $(tail -n 1 plan.out)"
for name in plain-epochs=1-seed1 long-seed2 friendly-lambda-kl=0.3-epochs=2-seed1 \
    small-hot-kd.temperature=8-of-friendly-lambda-kl=3-epochs=2-seed2 \
    small-hot-kd.temperature=2-of-long-epochs=2-seed1; do
    grep -q "^$name  *to train  *sftn-cache/" plan.out ||
        fail "no training is called $name"
done
grep -q '^small-alone-epochs=1-seed1 *the same training as plain-epochs=1-seed1$' plan.out ||
    fail "a student alone and a plain teacher of the same network are not one training"
[[ ! -e sftn-cache ]] || fail "a dry run left a cache"

# directory NAME: where the plan in plan.out puts a training.
directory() { awk -v name="$1" '$1 == name { print $NF }' plan.out; }
# with SCRIPT: the plan of the file changed by sed.
with() {
    sed "$1" plan.yaml >changed.yaml
    plan changed.yaml >plan.out
}
friendly=friendly-lambda-kl=0.3-epochs=1-seed1
student=small-hot-kd.temperature=2-of-$friendly
before=$(directory $friendly)
before_student=$(directory "$student")
with 's/batch: 32/batch: 32, save-minutes: 1, loader-threads: 2, lr: 0.050, test: each/'
[[ $(directory $friendly) == "$before" ]] ||
    fail "an option that decides nothing, or its default, changes the hash"
for change in 's/limit: 64/limit: 65/' 's/limit: 64/limit: 64, data-seed: 2/' \
    's/batch: 32/batch: 32, lr: 0.051/' 's/batch: 32/batch: 32, threads: 2/' \
    's/batch: 32/batch: 32, precision: bfloat16, batch-seed: 7/' \
    's/batch: 32/batch: 32, milestones: "1"/' 's/plain, model: resnet8}/plain, model: resnet8, pad: 3}/'; do
    with "$change"
    [[ $(directory $friendly) != "$before" ]] || fail "$change does not change the hash"
    [[ $(directory "$student") != "$before_student" ]] || fail "$change does not change the student's"
done

with 's/{method: kd, /{method: kd, teacher-norm: batch, /'
[[ $(directory $friendly) == "$before" ]] || fail "a method's option changes the teacher's hash"
[[ $(directory "$student") != "$before_student" ]] || fail "teacher-norm does not change the hash"

# What cannot be built is said before anything is trained.
printf 'data: {data: shapes, limit: 64}\nteachers: {p: {scheme: plain, model: resnet8}}
students: [resnet8]\nmethods: {kd: {}, fitnet: {fitnet.pair: stage9}}\n' >cannot.yaml
expect 0 "*
    cannot be built: *the student has no tap \"stage9\"; *" "" run cannot.yaml --dry-run

# A command is given as a shell takes it.
cat >odd.yaml <<'E_O_F'
data: {data: shapes, limit: 64, data-path: "it's $HOME"}
students: [resnet8]
alone: true
E_O_F
plan odd.yaml >odd.out
grep -qF "sftn train --data=shapes --limit=64 '--data-path=it'\\''s \$HOME' --model=resnet8" odd.out ||
    fail "a command is not written for a shell: $(<odd.out)"
grep -q '^odd: 1 training, 0 cached' odd.out || fail "one training is not called so: $(<odd.out)"

# ---- a run, and the same after kills ----
cat >tiny.yaml <<'E_O_F'
data: {data: shapes, limit: 64, validation: 16}
common: {epochs: 2, batch: 16, lr: 0.02, save-minutes: 0.0001}
teachers:
  plain: {scheme: plain, model: resnet8}
  friendly: {scheme: sftn, model: resnet8, student: resnet8, from: plain}
students: [resnet8]
methods: {kd: {min-teacher-accuracy: 0}, at+kd: {min-teacher-accuracy: 0}}
E_O_F
quick=(run tiny.yaml --no-time)
expect 0 "plain-seed1 *tiny: 6 trainings, 0 cached, 6 to do
run *" "\[0/6\] plain-seed1: begins
*, with 1 other*" "${quick[@]}" --jobs 1 --cache cache --results whole.json
mv cache whole # what a network was trained from is written into its file
sed -n '/^run /,$p' stdout >whole.txt
[[ $(wc -l <whole.txt) -eq 7 ]] || fail "the table has not a line for each training: $(<whole.txt)"

# Killed with SIGKILL while something is trained, three times.
for _ in 1 2 3; do
    saved=$(saves cache)
    "$SFTN" "${quick[@]}" --jobs 2 --cache cache >killed.out 2>killed.err &
    pid=$!
    wait_for "$pid" saved_since "$saved" cache
    end_with KILL "$pid"
done
expect 0 "*" "*" "${quick[@]}" --jobs 2 --cache cache --results killed.json
mv cache killed
sed -n '/^run /,$p' stdout >killed.txt
same_files whole.txt killed.txt
for run in whole/*-*; do
    same_files "$run/model.safetensors" "killed/${run#*/}/model.safetensors"
done

# ---- as many at a time as this process has cores ----
cat >cores.yaml <<'E_O_F'
data: {data: shapes, limit: 32}
common: {epochs: 1, batch: 16}
students: [resnet8]
alone: true
seeds: [1, 2]
E_O_F
core=$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
taskset -c "$core" "$SFTN" run cores.yaml --dry-run --cache cores >cores.out
grep -q ', 2 to do, about ' cores.out || fail "no time is expected: $(<cores.out)"
! grep -q 'at a time' cores.out || fail "on one core: $(<cores.out)"
taskset -c "$core" "$SFTN" run cores.yaml --dry-run --cache cores --jobs 2 >cores.out
grep -q ' with 2 at a time$' cores.out || fail "with --jobs 2: $(<cores.out)"

# ---- the cache, and the command that repeats a student of a group ----
mv whole cache
expect 0 "tiny: 6 trainings, 6 cached, 0 to do
run *" "" "${quick[@]}" --cache cache --results again.json
sed -n '/^run /,$p' stdout >again.txt
same_files whole.txt again.txt
same_files whole.json again.json
summary=$(echo cache/train-*/summary.json)
cp "$summary" summary.json
head -c 40 summary.json >"$summary"
expect 1 "*
plain-seed1: failed: *summary.json: expected *; remove cache/train-* to train it again" "*" "${quick[@]}" --cache cache --results damaged.json
expect 0 "*plain-seed1 *(failed)*" "" table damaged.json
mv summary.json "$summary"
expect 0 "*
resnet8-kd-of-plain-seed1 *" "" table whole.json
sed '0,/"state": *"done"/s//"state": "waiting"/; 0,/"epochs": *[0-9]*,/s///' whole.json >begun.json
expect 0 "run *" "sftn: 1 training not begun" table begun.json
for state in running stopped failed; do
    sed "s/waiting/$state/" begun.json >state.json
    expect 0 "run *plain-seed1 *($state)*" "" table state.json
done
sed 's/waiting/left out/' begun.json >state.json
expect 0 "run *" "sftn: 1 training not asked for" table state.json
expect 0 "*± *" "" table whole.json --group names
expect 0 "*" "" table whole.json
mv stdout once.txt
expect 0 "*" "" table whole.json killed.json
same_files once.txt stdout
sed 's/"hash": *"./&0/' whole.json >other.json
expect 1 "" "sftn: *-seed1 and *-seed1 have one name, and differ in more than the seed: *" \
    table whole.json other.json --group seeds
sed 's/-seed1"/-seed2"/; s/"seed": *1,/"seed": 2,/; s/--seed=1/--seed=2/; s/"hash": *"./&0/
    s/"directory": *"cache/&2/; s/--init-from=cache/&2/; s/--teacher=cache/&2/' whole.json >more.json
[[ $(grep -c 'init-from=cache2/' more.json) -eq 1 ]] || fail "no teacher starts from another network"
expect 0 "*
plain  *2  *" "" table whole.json more.json --group seeds
sed -i 's/--epochs=/&1/' more.json
expect 1 "" "sftn: *-seed1 and *-seed2 have one name, and differ in more than the seed: *" \
    table whole.json more.json --group seeds
expect 0 "*" "plot: curves.svg" table whole.json --plot curves.svg
command=$(sed -n 's/^ *"command": *"sftn \(distill.*at+kd.*\)",*$/\1/p' whole.json | head -n 1)
same=$(sed -n '/at+kd/,/directory/s/^ *"directory": *"\(.*\)",*$/\1/p' whole.json | head -n 1)
# shellcheck disable=SC2086
expect 0 "*" "*" $command --out repeated
same_files repeated/model.safetensors "$same/model.safetensors"

# ---- what is asked for and what that needs; a time limit; SIGTERM ----
expect 0 "*tiny: 6 trainings, 0 cached, 3 to do, 3 not asked for
run *
resnet8-kd-of-friendly-seed1 *" "*" "${quick[@]}" --cache some --only 'resnet8-kd-of-f*'
[[ $(grep -c seed1 <<<"${out#*to do}") -eq 3 ]] || fail "--only trains something else: $out"
expect 2 "" "sftn: no training is called like 'x*'; --dry-run lists all names" \
    "${quick[@]}" --cache some --only 'x*'
expect 2 "" "sftn: option --time-limit is 'soon'; *" "${quick[@]}" --time-limit soon
# So many epochs that none comes to its end meanwhile; so short a limit that none begins.
sed 's/epochs: 2/epochs: 100000/' tiny.yaml >long.yaml
long=(run long.yaml --no-time --cache late)
expect 3 "*" "sftn: all is saved; run the command again to go on" "${long[@]}" --time-limit 0.000000001s
[[ -z $(saves late) ]] || fail "something was trained in no time"
expect 3 "*" "*sftn: the time is over; * being saved
sftn: all is saved; run the command again to go on" "${long[@]}" --time-limit 1s
# steps_done: where the first teacher, of three batches an epoch, was stopped.
steps_done() {
    sed -n 's/^sftn: stopped after \([0-9]*\) of 100000 epochs and \([0-9]*\) of 3 .*/\1 * 3 + \2/p' \
        late/train-*/output.txt
}
before=$(steps_done)
saved=$(saves late)
"$SFTN" "${long[@]}" >late.out 2>late.err &
pid=$!
wait_for "$pid" saved_since "$saved" late
end_with TERM "$pid"
(($(steps_done) > before)) || fail "TERM: began anew: $(steps_done) after $before steps"
[[ $code -eq 143 ]] || fail "TERM: exit code $code, expected 143: $(<late.err)"
grep -q '^sftn: all is saved; run the command again to go on$' late.err || fail "TERM: $(<late.err)"
[[ -f $(echo late/train-*/checkpoint.safetensors) ]] || fail "TERM: no checkpoint"
[[ $(plan long.yaml --cache late --only plain-seed1) == "plain-seed1 "*"1 to do, "*" not asked for"* ]] ||
    fail "--only lists others: $(plan long.yaml --cache late --only plain-seed1)"
plan long.yaml --cache late | grep -q '^plain-seed1 .*to resume' || fail "TERM: nothing to resume"

# ---- failures ----
cat >fails.yaml <<'E_O_F'
data: {data: shapes, limit: 64}
common: {epochs: 1, batch: 32, lr: 0.02}
teachers:
  good: {scheme: plain, model: resnet8}
  wild: {scheme: plain, model: resnet8, lr: 100, weight-decay: 1, epochs: 3}
students: [resnet8x4]
methods: {kd: {min-teacher-accuracy: 0}, fsp: {min-teacher-accuracy: 0}}
E_O_F
expect 1 "*
good-seed1 *
resnet8x4-kd-of-good-seed1 *
wild-seed1: failed: *not finite*
resnet8x4-fsp-of-good-seed1: failed: *fsp*
resnet8x4-kd-of-wild-seed1: failed: not trained: wild-seed1, which it starts from, failed
resnet8x4-fsp-of-wild-seed1: failed: not trained: *" "*" \
    run fails.yaml --no-time --cache fails
[[ $(grep -c '"state": *"failed"' fails.results.json) -eq 4 ]] || fail "results.json has not 4 failures"
[[ $(grep -c '"error": *"..*"' fails.results.json) -eq 4 ]] || fail "results.json has not 4 errors"
[[ $(grep -c '"state": *"done"' fails.results.json) -eq 2 ]] || fail "results.json has not 2 results"
finish
