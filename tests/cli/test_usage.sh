#!/usr/bin/env bash
# The command line: what is wrong with it is said in one sentence, with exit code 2, and help comes
# from the option tables.
. "$(dirname "$0")/expect.sh"

# ---- commands ----
expect 2 "" "usage: sftn COMMAND*" # no arguments
expect 0 "usage: sftn COMMAND *
  train     train a network by itself
  teach     train a teacher that students learn well from
*'sftn help COMMAND' lists a command's options." "" help
expect 0 "usage: sftn COMMAND*" "" --help
expect 2 "" "sftn: no command called \"tarin\"; did you mean \"train\"?" tarin
expect 2 "" "sftn: no command called \"xyzzy\"; 'sftn help' lists them" xyzzy
expect 2 "" "sftn: no command called \"trian\"; did you mean \"train\"?" help trian
expect 2 "" "sftn: help explains one command; 'eval' is too much" help train eval
expect 0 "sftn [0-9]*.[0-9]*.[0-9]*, backends: *cpu*" "" version
expect 0 "sftn [0-9]*" "" --version

# ---- help of every command ----
for command in train teach distill eval compare predict table list data taps dump verify bench; do
    expect 0 "usage: sftn $command *" "" help "$command"
    expect 0 "usage: sftn $command *" "" "$command" --help
done
expect 0 "*--lambda-kl X * (default 3, 0 to 1000)*" "" help teach
expect 0 "*--kd.temperature X * (default 4, *--at.p X *" "" help distill
expect 0 "*--schedule step|cosine * (default step)*--\[no-\]nesterov * (default no)*" "" help train

# ---- options ----
expect 2 "" "sftn: train has no option --epohcs; did you mean --epochs?" train --epohcs 3
expect 2 "" "sftn: train has no option --frobnicate; 'sftn help train' lists its options" \
    train --frobnicate
expect 2 "" "sftn: distill has no option --kd.temprature; did you mean --kd.temperature?" \
    distill --kd.temprature 4
expect 2 "" "sftn: distill has no option --at.p*" distill --method kd --at.p 2
expect 2 "" "sftn: option epochs: '0', expected a whole number from 1 to 100000" train --epochs 0
expect 2 "" "sftn: option epochs: '3x', expected a whole number from 1 to 100000" train --epochs=3x
expect 2 "" "sftn: option lr: '-1', expected a number from 0 to 100" train --lr -1
expect 2 "" "sftn: option schedule: 'linear', expected one of step, cosine" train --schedule linear
expect 2 "" "sftn: method at: option p: '99', expected a number from 1 to 8" \
    distill --method kd+at --at.p 99
expect 2 "" "sftn: option --seed needs a value" train --seed
expect 2 "" "sftn: train has no option --no-lr*" train --no-lr
expect 2 "" "sftn: options begin with two dashes; '-e' has one" train -e 3
expect 2 "" "sftn: option --milestones is '5,x'; expected epochs like 150,180,210" \
    train --data shapes --limit 64 --milestones 5,x --out run

# ---- arguments ----
expect 2 "" "sftn: train does not take the argument 'resnet8'; usage: *" train resnet8
expect 2 "" "sftn: eval needs more arguments; usage: sftn eval *" eval
expect 2 "" "sftn: no action of data called \"got\"; did you mean \"get\"?" data got cifar100
expect 2 "" "sftn: data sheet takes 2 arguments, not 1; usage: *" data sheet shapes
expect 2 "" "sftn: no list called \"model\"; did you mean \"models\"?" list model
expect 2 "" "sftn: distill needs --teacher FILE, *" distill

# ---- names ----
expect 2 "" "sftn: no model called \"resnet21\"; did you mean \"resnet20\"?" train --model resnet21
expect 2 "" "sftn: no teacher training scheme called \"sfnt\"; did you mean \"sftn\"?" \
    teach --scheme sfnt
expect 2 "" "sftn: no distillation method called \"kdd\"; did you mean \"kd\"?" \
    distill --method kdd
expect 2 "" "sftn: no backend called \"cpp\"; did you mean \"cpu\"?" train --backend cpp
expect 2 "" "sftn: no data set called \"cifra10\"; did you mean \"cifar10\"?" data get cifra10
expect 2 "" "sftn: no data set called \"cifra10\"; did you mean \"cifar10\"?" train --data cifra10

# ---- list ----
expect 0 "teachers
  plain *
  sftn * (Park et al., NeurIPS 2021)" "" list teachers
expect 0 "methods
  kd *
  fitnet *
  at *" "" list methods
expect 0 "models
  resnet8 *83,892 *
  resnet20 *278,324 *
  wrn_40_2 *2,255,156 *" "" list models
expect 0 "data
  shapes *
  cifar100 *" "" list data
expect 0 "*models*methods*teachers*data*backends*" "" list
expect 0 "{*\"methods\": \[*\"name\": \"kd\",*\"weight\": 0.9,*\"name\": \"temperature\",*}" "" \
    list methods --json

# ---- taps ----
expect 0 "student resnet8
  stem            16 x 32 x 32
  stem.preact     16 x 32 x 32
  stage1          16 x 32 x 32
*
  logits          100
teacher resnet32x4
  stem            32 x 32 x 32
*
fitnet compares
  stage2          32 x 16 x 16   with  stage2          128 x 16 x 16
and trains 4,480 parameters of its own
  fitnet.conv                               4,224   128 x 32 x 1 x 1
  fitnet.bn                                   256

kd compares
  logits          100            with  logits          100
and trains nothing of its own" "" \
    taps --student resnet8 --teacher resnet32x4 --method fitnet+kd
expect 0 "*sp compares
  stem            16 x 32 x 32   with  stage3          128 x 8 x 8
  pooled          128            with  pooled          128
and trains nothing of its own

at compares
  stage3          128 x 8 x 8    with  stage3          128 x 8 x 8
and trains nothing of its own" "" taps --method sp+at --pair stem:stage3,pooled --at.pair last
expect 0 "{*\"student\": {*\"stage2\": \[*64,*16,*16*\"pairs\": \[*\"student\": \"pooled\"*" "" \
    taps --method rkd --json
expect 1 "*" "sftn: fsp: the student's stage1 has 16 channels and the teacher's stage1 32, *; \
at, nst and vid take unequal channels" taps --student wrn_16_1 --method fsp
expect 1 "*" "sftn: at: the student has no tap \"stage4\"; it publishes stem, *, logits" \
    taps --method at --pair stage4
expect 0 "*before the labels 30 epochs that train the student's stages*" "" taps --method ab
expect 0 "*ft.translator.encoder.0*before the labels 7 epochs that train layers of its own alone*" "" \
    taps --method ft --ft.epochs 7
expect 2 "" "sftn: no model called \"resnet9\"; did you mean \"resnet8\"?" taps --student resnet9
expect 2 "" "sftn: --pair: the method kd compares answers, no other taps" \
    taps --method kd --pair stage1
expect 2 "" "sftn: --method names at twice" distill --method at+kd+at
expect 2 "" "*option epochs: '0', expected a whole number from 1 to 100000" \
    distill --method ab --ab.epochs 0
expect 0 "*--at.pair STUDENT:TEACHER,...
  *(default stages)*--pair STUDENT:TEACHER,...  *" "" help distill

# ---- bench ----
number='[0-9]*'
# Two for each multiply-add, as many however the convolutions are computed: 12.5 million in an image's
# way forward, as many in each of the two gradients, but for the first convolution's of the image.
step=(bench --workload plain --model resnet8 --batch 2 --steps 2 --threads 1)
expect 0 "{ \"workload\": \"plain resnet8\", *\"gflop\": 0.148319232, \"peak_bytes\": $number}" "" \
    "${step[@]}" --json
expect 0 "*\"gflop\": 0.148319232,*" "" "${step[@]}" --json --no-winograd
expect 0 "*GFLOP          0.148 a step, *peak  *copy of *roofline  kernels*[0-9] %  conv2d, conv *
*roofline  ops*[0-9] %  conv2d
*  all

The median step takes $number ms*" "" "${step[@]}" --profile
expect 0 "{*\"peak\": {*}, \"profile\": \[ { \"op\": *\"product\": true,*\"roofline\": $number } \] }" \
    "" "${step[@]}" --profile --json
expect 0 "{ \"precision\": \"bfloat16\", \"threads\": 1, \"peak\": { \"isa\": \"*\", \"gflop_per_s\": $number, \
\"copies\": \[ { \"bytes\": 65536, \"gb_per_s\": $number } *\] } }" "" \
    bench --peak --json --threads 1 --precision bfloat16
expect 0 "*plan: *time: $number ms a run*conv2d *GFLOP/s *GB/s*" "" \
    dump --model resnet8 --batch 2 --threads 1 --profile 2

# ---- output that cannot be written ----
code=0
"$SFTN" list models >/dev/full 2>stderr || code=$?
[[ $code -eq 1 ]] || fail "list to a full device: exit code $code, expected 1"
grep -q "standard output cannot be written: No space left on device" stderr ||
    fail "list to a full device: $(<stderr)"
finish
