#!/usr/bin/env bash
# Installs what the build needs and this machine lacks, on Debian and Ubuntu, with sudo where not
# root.  Where nothing is missing it does nothing, and needs neither network nor rights.
#
#     scripts/setup.sh         what `make` needs
#     scripts/setup.sh --demo  the demonstration's images besides: Fashion-MNIST
#     scripts/setup.sh --ci    what .ci/run needs besides: clang with OpenMP and its sanitizers, and
#                              these images
set -euo pipefail

has_command() { command -v "$1" >/dev/null; }
has_module() { has_command pkg-config && pkg-config --exists "$1"; }
has_header() { has_command cc && echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1; }
has_onednn() {
    [[ -f "${oneDNN_ROOT:-}/include/oneapi/dnnl/dnnl.h" ]] || has_header oneapi/dnnl/dnnl.h
}
has_certificates() { [[ -e /etc/ssl/certs/ca-certificates.crt || -d /etc/pki/tls/certs ]]; }
has_fashion() { [[ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]]; }
has_clang_openmp() {
    has_command clang && echo 'int main(void) { return 0; }' |
        clang -fopenmp -include omp.h -x c - -o /dev/null 2>/dev/null
}
has_clang_sanitizers() {
    has_command clang && echo 'int main(void) { return 0; }' |
        clang -fsanitize=thread -x c - -o /dev/null 2>/dev/null
}

# Debian package, then how to see that what it brings is there.
needs='
gcc                  has_command cc
libc6-dev            has_header stdio.h
cmake                has_command cmake
make                 has_command make
pkg-config           has_command pkg-config
libdnnl-dev          has_onednn
libarchive-dev       has_module libarchive
libcurl4-openssl-dev has_module libcurl
zlib1g-dev           has_module zlib
libjson-c-dev        has_module json-c
libmd-dev            has_module libmd
libyaml-dev          has_module yaml-0.1
libpng-dev           has_module libpng
libjpeg-dev          has_module libjpeg
libcairo2-dev        has_module cairo
libcmocka-dev        has_module cmocka
ca-certificates      has_certificates
'
demo_needs='
dataset-fashion-mnist has_fashion
'
ci_needs='
clang                has_command clang
libomp-dev           has_clang_openmp
libclang-rt-dev      has_clang_sanitizers
'

missing_packages() {
    local package probe
    while read -r package probe; do
        [[ -z "$package" ]] || $probe || echo "$package"
    done <<<"$needs"
}

if [[ "${1:-}" == --ci ]]; then
    needs+="$demo_needs$ci_needs"
elif [[ "${1:-}" == --demo ]]; then
    needs+="$demo_needs"
elif [[ $# -gt 0 ]]; then
    echo "usage: scripts/setup.sh [--demo|--ci]" >&2
    exit 2
fi

mapfile -t missing < <(missing_packages)
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
echo "Missing on this machine: ${missing[*]}"
if ! has_command apt-get; then
    echo "setup: these are Debian's names; there is no apt-get here, so please install their" \
         "equivalents and run make again" >&2
    exit 1
fi
if [[ $(id -u) -eq 0 ]]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
elif has_command sudo; then
    as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
else
    echo "setup: not root and no sudo; as root, run: apt-get install --no-install-recommends" \
         "${missing[*]}" >&2
    exit 1
fi
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"

mapfile -t missing < <(missing_packages)
if [[ ${#missing[@]} -gt 0 ]]; then
    echo "setup: installed, but still not usable: ${missing[*]}" >&2
    exit 1
fi
