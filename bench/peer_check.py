"""Compares peer.py's networks and losses with reference values: python peer_check.py DIR.

DIR holds model/, sftn/ and loss/kd.safetensors, whose README gives the rule by which weights and
inputs follow from names. Shows that the peer does the same work as sftn; exits 1 if a value
deviates.
"""

import json
import pathlib
import struct
import sys

import numpy as np
import torch

sys.dont_write_bytecode = True
import peer  # noqa: E402

TYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64}
TOLERANCE = 1e-3


def load(path):
    """Metadata and tensors of a safetensors file."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    meta = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(raw[8 + size + begin : 8 + size + end], TYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(array.reshape(entry["shape"]).copy())
    return meta, tensors


def uniform(name, shape):
    """The values u in [0, 1) that belong to a name."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        j = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
        x = np.uint64(h) + j * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    u = (x >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return torch.from_numpy(u.reshape(shape))


def fill(net, rename=lambda key: key):
    for key, tensor in net.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        name = rename(key)
        u = uniform(name, tuple(tensor.shape))
        s = 2 * u - 1
        if key.endswith("running_var"):
            value = 1 + 0.5 * u
        elif key.endswith("running_mean"):
            value = 0.1 * s
        elif tensor.dim() >= 2:
            value = (6 / tensor[0].numel()) ** 0.5 * s
        elif key.endswith("weight"):
            value = 1 + 0.1 * s
        else:
            value = 0.1 * s
        tensor.copy_(value)


def deviation(got, want):
    return ((got - want).abs().max() / want.abs().max().clamp_min(1e-12)).item()


def check_model(path):
    meta, ref = load(path)
    batch, classes = ref["logits_eval"].shape
    net = peer.make_network(meta["model"], classes)
    fill(net)
    images = 2 * (2 * uniform("input", (batch, 3, 32, 32)) - 1)
    with torch.no_grad():
        result = deviation(net.eval()(images), ref["logits_eval"])
        return max(result, deviation(net.train()(images), ref["logits_train"]))


def branch_name(key):
    """teacher.K -> K; branches.0.student.K -> branch1.student.K"""
    part = key.split(".", 2)
    return key.split(".", 1)[1] if part[0] == "teacher" else f"branch{int(part[1]) + 1}.{part[2]}"


def check_friendly(path):
    _, ref = load(path)
    teacher, student = path.stem.split("__")
    batch, classes = ref["logits_teacher"].shape
    net = peer.FriendlyTeacher(teacher, student, classes)
    fill(net, branch_name)
    logits = net.train()(2 * (2 * uniform("input", (batch, 3, 32, 32)) - 1))
    loss = peer.friendly_loss(logits, ref["labels"].long())
    loss.backward()
    result = deviation(loss.detach(), ref["loss_total"].reshape(()))
    want = [ref["logits_teacher"]] + [ref[k] for k in sorted(ref) if k.startswith("logits_branch")]
    for got, reference in zip(logits, want, strict=True):
        result = max(result, deviation(got.detach(), reference))
    norms = torch.stack([p.grad.norm() for p in net.parameters()]).sort().values
    return max(result, deviation(norms, ref["grad_norm"].sort().values))


def check_kd(path):
    _, ref = load(path)
    # kd_loss is 0.1 CE + 0.9 soft: take the first part away again
    labels = torch.zeros(len(ref["logits_s"]), dtype=torch.long)
    total = peer.kd_loss(ref["logits_s"], ref["logits_t"], labels)
    soft = (total - 0.1 * torch.nn.functional.cross_entropy(ref["logits_s"], labels)) / 0.9
    return deviation(soft, ref["loss"].reshape(()))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: peer_check.py DIR")
    root = pathlib.Path(sys.argv[1])
    checks = [
        (p, check_model)
        for pattern in ("resnet[0-9]*", "wrn_*")
        for p in sorted(root.glob(f"model/{pattern}"))
        if not p.stem.startswith("resnet50")
    ]
    checks += [(p, check_friendly) for p in sorted(root.glob("sftn/*.safetensors"))]
    checks += [(root / "loss/kd.safetensors", check_kd)]
    failed = 0
    for path, check in checks:
        value = check(path)
        failed += not value <= TOLERANCE
        print(
            f"{path.relative_to(root)!s:40} {value:.1e}",
            "ok" if value <= TOLERANCE else "DEVIATES",
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
