"""Similarity of networks in PyTorch: python compare.py data DIR | check TEACHER STUDENT IMAGES JSON...

`data` writes a small data set of random images in CIFAR-100's layout. `check` reads a teacher's and a
student's run directories, and what `sftn compare --json` said of both and of the teacher's branches,
and computes the same from its own networks in double precision.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench"))
import peer  # noqa: E402
from peer_check import load  # noqa: E402

RECORD = 2 + 3072


def write_data(folder):
    """256 training and 150 test images, smooth enough to be told apart; 100 classes."""
    rng = np.random.default_rng(1)
    for name, n in (("train.bin", 256), ("test.bin", 150)):
        records = np.zeros((n, RECORD), np.uint8)
        records[:, 1] = rng.integers(0, 100, n)
        coarse = rng.integers(0, 256, (n, 3, 8, 8))
        records[:, 2:] = coarse.repeat(4, 2).repeat(4, 3).reshape(n, -1)
        records.tofile(folder / name)


def read_data(path, meta):
    raw = np.fromfile(path, np.uint8).reshape(-1, RECORD)
    images = torch.from_numpy(raw[:, 2:].reshape(-1, 3, 32, 32).copy()).double() / 255
    mean, std = (torch.tensor(json.loads(meta[k])).double() for k in ("mean", "std"))
    return (images - mean[:, None, None]) / std[:, None, None], torch.from_numpy(raw[:, 1].copy())


def taps(net, x, first=1):
    """Features of stages, pooled features and logits; entered before stage `first`."""
    found = {}
    for i in range(first, 4):
        x = found[f"stage{i}"] = net.stage(i, x)
    found["pooled"] = F.avg_pool2d(x, 8).flatten(1)
    found["logits"] = net.fc(found["pooled"])
    return found


def columns(x, cells):
    return F.adaptive_avg_pool2d(x, cells).flatten(1) if x.dim() == 4 else x


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def answers(logits, labels, bins=15):
    p = F.softmax(logits, 1)
    confidence, answer = p.max(1)
    hit = (answer == labels).double()
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            error += float(inside.sum() * (hit[inside].mean() - confidence[inside].mean()).abs())
    return {
        "top1": 100 * float(hit.mean()),
        "loss": float(F.cross_entropy(logits, labels.long())),
        "confidence": 100 * float(confidence.mean()),
        "calibration_error": 100 * error / len(labels),
        "entropy": float(-(p * p.log()).sum(1).mean()),
    }


def compare(teacher, student, labels, cells):
    log_t, log_s = (F.log_softmax(x["logits"], 1) for x in (teacher, student))
    return {
        **answers(student["logits"], labels),
        "agreement": 100 * float((log_t.argmax(1) == log_s.argmax(1)).double().mean()),
        "kl_teacher_student": float((log_t.exp() * (log_t - log_s)).sum(1).mean()),
        "kl_student_teacher": float((log_s.exp() * (log_s - log_t)).sum(1).mean()),
        "cka_logits": cka(teacher["logits"], student["logits"]),
        "cka_pooled": cka(teacher["pooled"], student["pooled"]),
        "taps": {
            k: cka(columns(teacher[k], cells), columns(v, cells))
            for k, v in student.items()
            if k.startswith("stage")
        },
    }


def network(run):
    meta, tensors = load(run / "model.safetensors")
    net = peer.make_network(meta["model"], int(meta["classes"]))
    net.load_state_dict(tensors)
    return net.double().eval(), meta


def branches(run, teacher, x):
    """Taps of the branches of a friendly teacher, from its features."""
    meta, tensors = load(run / "branches.safetensors")
    job = json.loads(meta["job"])
    for entry in (1, 2):
        student = peer.make_network(job["student"], job["classes"])
        branch = peer.Branch(peer.make_network(job["teacher"], job["classes"]), student, entry)
        prefix = f"branch{entry}."
        branch.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith(prefix)})
        branch = branch.double().eval()
        yield taps(branch.student, branch.transform(teacher[f"stage{entry}"]), entry + 1)


def check(name, found, expected):
    worst = 0.0
    for key, value in expected.items():
        if key == "taps":
            told = {t["student"]: t["cka"] for t in found["taps"]}
            worst = max(worst, check(name, told, value))
            continue
        deviation = abs(found[key] - value) / max(1.0, abs(value))
        worst = max(worst, deviation)
        if deviation > 2e-4:
            print(f"{name}: {key} is {found[key]}, expected {value}")
    return worst


@torch.no_grad()
def main():
    if sys.argv[1] == "data":
        write_data(pathlib.Path(sys.argv[2]))
        return 0
    teacher_run, student_run, images, *told = map(pathlib.Path, sys.argv[2:])
    (teacher, meta), (student, _) = network(teacher_run), network(student_run)
    x, labels = read_data(images, meta)
    of_teacher, of_student = (taps(net, net.stem(x)) for net in (teacher, student))
    beside, of_branches = (json.loads(path.read_text()) for path in told)
    worst = check("teacher", beside["teacher"], answers(of_teacher["logits"], labels))
    expected = compare(of_teacher, of_student, labels, 2)
    worst = max(worst, check("student", beside["students"][0], expected))
    for i, branch in enumerate(branches(teacher_run, of_teacher, x)):
        expected = compare(of_teacher, branch, labels, 4)
        worst = max(worst, check(f"branch{i + 1}", of_branches["students"][i], expected))
    print(f"largest deviation {worst:.2e}")
    return worst > 2e-4


sys.exit(main())
