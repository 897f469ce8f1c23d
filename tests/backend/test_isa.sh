# Machines with less than this one: op cases, and plans that feed one another, pass with every build
# of our own loops, with oneDNN held to AVX2 (where it has no bfloat16 convolutions) and to AVX-512
# without bfloat16.
set -u
failed=0

check() {
    local program
    for program in test_backend_cpu test_plan_share; do
        if ! output=$(env "$@" "$SFTN_BUILD/tests/$program" 2>&1); then
            echo "$* $program:"
            echo "$output"
            failed=1
        fi
    done
}

check SFTN_ISA=generic ONEDNN_MAX_CPU_ISA=SSE41
check SFTN_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2
check SFTN_ISA=avx512 ONEDNN_MAX_CPU_ISA=AVX512_CORE
exit $failed
