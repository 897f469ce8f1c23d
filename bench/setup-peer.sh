#!/usr/bin/env bash
# Installs the PyTorch that the benchmarks compare with into a virtual environment.
#
#   bench/setup-peer.sh [DIR]        (default build/peer; DIR/bin/python is then the peer's python)
#
# PyPI's wheel for Linux is the CUDA build: its dependencies are several GB that a CPU comparison
# never calls. Its CPU code (oneDNN, MKL, OpenMP, all in the wheel) is what we want, so: the wheel
# alone, NVIDIA's small libraries (runtime, CUPTI, cuFile) as they are, and for each of the ten
# large ones a stub that defines the symbols the wheel asks for, every one returning an error.
# Needs: python3 with venv, a C compiler, binutils, access to PyPI, 1.5 GB of disk.
set -euo pipefail

torch_version=2.15.0
cuda_version=13.2.2     # the cuda-toolkit that this torch asks for
stubs="libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcusolver.so.12
       libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvrtc.so.13 libnvshmem_host.so.3"

dir=${1:-build/peer}
cc=${CC:-cc}
for tool in python3 "$cc" nm; do
    if ! command -v "$tool" >/dev/null; then
        echo "setup-peer: '$tool' not found; install it first" >&2
        exit 1
    fi
done

python3 -m venv "$dir"
pip=("$dir/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install "cuda-toolkit[cudart,cupti,cufile]==$cuda_version"
"${pip[@]}" install filelock 'typing-extensions>=4.13' 'setuptools>=77.0.3' 'sympy>=1.13.3' \
    networkx jinja2 fsspec numpy
"${pip[@]}" install --no-deps "torch==$torch_version"

lib=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch/lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One line a symbol: name, then the version it is wanted with, if any (here mostly the soname).
nm -D --undefined-only "$lib"/libtorch*.so "$lib"/libc10*.so 2>/dev/null |
    awk '$1 == "U" { split($2, part, "@"); print part[1], part[2] }' | sort -u >"$work/wanted"

for soname in $stubs; do
    case $soname in
        libcusparseLt.*)   awk '$2 == "" && $1 ~ /^cusparseLt/' ;;
        libnccl.*)         awk '$2 == "" && $1 ~ /^p?nccl/' ;;
        libnvshmem_host.*) awk '$2 == "NVSHMEM" || ($2 == "" && $1 ~ /^nvshmem/)' ;;
        *)                 awk -v version="$soname" '$2 == version' ;;
    esac <"$work/wanted" >"$work/symbols"
    awk '{ print "int " $1 "(void) { return 1; }" }' "$work/symbols" >"$work/stub.c"
    version=$(awk '$2 != "" { print $2; exit }' "$work/symbols")
    flags=(-shared -fPIC -O1 -w "-Wl,-soname,$soname")
    if [ -n "$version" ]; then
        echo "$version { global: *; };" >"$work/map"
        flags+=("-Wl,--version-script=$work/map")
    fi
    "$cc" "${flags[@]}" -o "$lib/$soname" "$work/stub.c"
done

# Away from any driver: the stubs must never be asked to compute.
CUDA_VISIBLE_DEVICES= "$dir/bin/python" - <<'PYTHON'
import torch
x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
with torch.autocast("cpu", torch.bfloat16):
    torch.nn.Conv2d(3, 4, 3)(x).float().sum().backward()
print(f"PyTorch {torch.__version__}: oneDNN {torch.backends.mkldnn.is_available()}, "
      f"MKL {torch.backends.mkl.is_available()}, {torch.backends.cpu.get_cpu_capability()}, "
      f"{torch.get_num_threads()} threads")
PYTHON
