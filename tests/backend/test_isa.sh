# Machines with less than this one: the op cases pass with every build of our own loops, with
# oneDNN held to AVX2 (where it has no bfloat16 convolutions) and to AVX-512 without bfloat16.
set -u
cases=$SFTN_BUILD/tests/test_backend_cpu
failed=0

check() {
    if ! output=$(env "$@" "$cases" 2>&1); then
        echo "$*:"
        echo "$output"
        failed=1
    fi
}

check SFTN_ISA=generic ONEDNN_MAX_CPU_ISA=SSE41
check SFTN_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2
check SFTN_ISA=avx512 ONEDNN_MAX_CPU_ISA=AVX512_CORE
exit $failed
