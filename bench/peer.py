"""One PyTorch workload, timed: the peer of `sftn bench`.

Networks and losses are those of sftn; peer_check.py compares both with reference values.
  sftn    one step of student-friendly teacher training:
          CE(teacher) + 3 mean KL(branch || teacher) + mean CE(branch)
  kd      one step of distillation: 0.1 CE + 0.9 * 16 KL at T = 4, teacher frozen, evaluation mode
  crd     the same with CE + 0.8 CRD: 128 dimensions, 16,384 negatives, memories of 50,000 records
  plain   one step of the student alone, cross-entropy
  frozen  inference of the teacher, in evaluation mode
A step is all of forward, backward, SGD update; the batch is synthetic and lies ready in memory,
or with --epoch comes from CIFAR-100, augmented.
Prints one JSON line.
"""

import argparse
import json
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """conv BN ReLU conv BN, plus shortcut, ReLU; 1x1 conv BN as shortcut where shapes differ."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    """CIFAR resnet of depth 6n+2, post-activation."""

    branch_relu = True

    def __init__(self, depth, widths, classes):
        super().__init__()
        n = (depth - 2) // 6
        self.widths = widths[1:]
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        for i in range(1, 4):
            blocks = [BasicBlock(widths[i - 1], widths[i], 1 if i == 1 else 2)]
            blocks += [BasicBlock(widths[i], widths[i], 1) for _ in range(n - 1)]
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(widths[3], classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x):
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def stage(self, i, x):
        return getattr(self, f"layer{i}")(x)

    def head(self, x):
        return self.fc(F.avg_pool2d(x, 8).flatten(1))

    def drop_front(self, last):
        """Removes the stem and stages 1..last: what remains is a branch's copy."""
        del self.conv1, self.bn1
        for i in range(1, last + 1):
            delattr(self, f"layer{i}")

    def forward(self, x):
        x = self.stem(x)
        for i in range(1, 4):
            x = self.stage(i, x)
        return self.head(x)


class WideBlock(nn.Module):
    """BN ReLU conv BN ReLU conv, plus shortcut: the input, or a 1x1 conv of the activated input."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.convShortcut = nn.Conv2d(cin, cout, 1, stride, bias=False) if cin != cout else None

    def forward(self, x):
        a = F.relu(self.bn1(x), inplace=True)
        y = F.relu(self.bn2(self.conv1(a)), inplace=True)
        y = self.conv2(y)
        y += x if self.convShortcut is None else self.convShortcut(a)
        return y


class WideStage(nn.Module):
    def __init__(self, n, cin, cout, stride):
        super().__init__()
        self.layer = nn.Sequential(
            *[WideBlock(cin if i == 0 else cout, cout, stride if i == 0 else 1) for i in range(n)]
        )

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """Wide resnet of depth 6n+4, pre-activation."""

    branch_relu = False

    def __init__(self, depth, k, classes):
        super().__init__()
        n = (depth - 4) // 6
        self.widths = [16 * k, 32 * k, 64 * k]
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        for i, cin in enumerate([16] + self.widths[:2], 1):
            setattr(self, f"block{i}", WideStage(n, cin, self.widths[i - 1], 1 if i == 1 else 2))
        self.bn1 = nn.BatchNorm2d(self.widths[2])
        self.fc = nn.Linear(self.widths[2], classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, 0, (2 / (m.kernel_size[0] ** 2 * m.out_channels)) ** 0.5)
        nn.init.zeros_(self.fc.bias)

    def stem(self, x):
        return self.conv1(x)

    def stage(self, i, x):
        return getattr(self, f"block{i}")(x)

    def head(self, x):
        return self.fc(F.avg_pool2d(F.relu(self.bn1(x), inplace=True), 8).flatten(1))

    def drop_front(self, last):
        del self.conv1
        for i in range(1, last + 1):
            delattr(self, f"block{i}")

    forward = ResNet.forward


def make_network(name, classes):
    match = re.fullmatch(r"resnet(\d+)(x[24])?", name)
    if match and (int(match[1]) - 2) % 6 == 0:
        widths = {None: [16, 16, 32, 64], "x2": [32, 32, 64, 128], "x4": [32, 64, 128, 256]}[
            match[2]
        ]
        return ResNet(int(match[1]), widths, classes)
    match = re.fullmatch(r"wrn_(\d+)_(\d+)", name)
    if match and (int(match[1]) - 4) % 6 == 0:
        return WideResNet(int(match[1]), int(match[2]), classes)
    sys.exit(f"peer: no network '{name}'; expected resnetD[x2|x4] or wrn_D_K")


class Transform(nn.Module):
    """1x1 convolution and BN, ReLU where the student is post-activation."""

    def __init__(self, cin, cout, relu):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class Branch(nn.Module):
    """Transform, then the student's stages after `entry`, and its head."""

    def __init__(self, teacher, student, entry):
        super().__init__()
        self.entry = entry
        self.transform = Transform(
            teacher.widths[entry - 1], student.widths[entry - 1], student.branch_relu
        )
        self.student = student
        student.drop_front(entry)

    def forward(self, x):
        x = self.transform(x)
        for i in range(self.entry + 1, 4):
            x = self.student.stage(i, x)
        return self.student.head(x)


class FriendlyTeacher(nn.Module):
    """A teacher with a branch after each stage but the last; returns all logits, its own first."""

    def __init__(self, teacher, student, classes):
        super().__init__()
        self.teacher = make_network(teacher, classes)
        self.branches = nn.ModuleList(
            Branch(self.teacher, make_network(student, classes), i) for i in (1, 2)
        )

    def forward(self, x):
        x = self.teacher.stem(x)
        logits = []
        for i in range(1, 4):
            x = self.teacher.stage(i, x)
            if i < 3:
                logits.append(self.branches[i - 1](x))
        return [self.teacher.head(x)] + logits


def kl(log_p, log_q):
    """KL(p || q), mean over the batch."""
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def friendly_loss(logits, labels, weights=(1.0, 3.0, 1.0)):
    teacher, branches = logits[0].float(), [z.float() for z in logits[1:]]
    log_t = F.log_softmax(teacher, 1)
    mean_kl = sum(kl(F.log_softmax(z, 1), log_t) for z in branches) / len(branches)
    mean_ce = sum(F.cross_entropy(z, labels) for z in branches) / len(branches)
    return (
        weights[0] * F.cross_entropy(teacher, labels) + weights[1] * mean_kl + weights[2] * mean_ce
    )


def kd_loss(student, teacher, labels, T=4.0):
    student, teacher = student.float(), teacher.float()
    soft = kl(F.log_softmax(teacher / T, 1), F.log_softmax(student / T, 1)) * T * T
    return 0.1 * F.cross_entropy(student, labels) + 0.9 * soft


class Contrast(nn.Module):
    """CRD's two memories and embeddings of pooled features, with the operations its authors use."""

    records, dim, negatives, temperature, momentum, eps = 50000, 128, 16384, 0.07, 0.5, 1e-7

    def __init__(self, student_width, teacher_width):
        super().__init__()
        self.embed = nn.ModuleList(
            nn.Linear(width, self.dim) for width in (student_width, teacher_width)
        )
        bound = (self.dim / 3) ** -0.5
        for side in range(2):
            memory = torch.empty(self.records, self.dim).uniform_(-bound, bound)
            self.register_buffer(f"memory{side}", memory)
        self.z = [None, None]

    def side(self, i, v, memory, chosen):
        rows = memory.index_select(0, chosen.view(-1)).view(*chosen.shape, self.dim)
        e = torch.exp(torch.bmm(rows, v.unsqueeze(2)).squeeze(2) / self.temperature)
        if self.z[i] is None:
            self.z[i] = e.mean().item() * self.records
        p = e / self.z[i]
        c = self.negatives / self.records
        own = torch.log(p[:, 0] / (p[:, 0] + c + self.eps))
        others = torch.log(c / (p[:, 1:] + c + self.eps))
        return -(own.sum() + others.sum()) / len(v)

    @torch.no_grad()
    def remember(self, memory, index, v):
        mixed = self.momentum * memory.index_select(0, index) + (1 - self.momentum) * v
        memory.index_copy_(0, index, F.normalize(mixed))

    def forward(self, features, index):
        chosen = torch.randint(self.records, (len(index), 1 + self.negatives))
        chosen[:, 0] = index
        vs, vt = (F.normalize(embed(f)) for embed, f in zip(self.embed, features, strict=True))
        loss = self.side(0, vs, self.memory1, chosen) + self.side(1, vt, self.memory0, chosen)
        self.remember(self.memory0, index, vs)
        self.remember(self.memory1, index, vt)
        return loss


class Pooled:
    """What enters a network's last layer, kept at each call."""

    def __init__(self, net):
        net.fc.register_forward_pre_hook(self.keep)

    def keep(self, _module, inputs):
        self.value = inputs[0].float()


def make_step(args):
    """A function of images and labels that does one step and returns its loss, or logits."""

    def prepare(net, training):
        net.train(training).requires_grad_(training)
        if args.channels_last:
            net.to(memory_format=torch.channels_last)
        return torch.compile(net) if args.compile else net

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16")

    if args.workload in ("frozen", "kd", "crd"):
        frozen = make_network(args.teacher, args.classes)
        teacher = prepare(frozen, False)

    def infer(images, _labels=None):
        with torch.no_grad(), autocast():
            return teacher(images)

    if args.workload == "frozen":
        return infer

    if args.workload == "sftn":
        net = prepare(FriendlyTeacher(args.teacher, args.student, args.classes), True)
    else:
        student = make_network(args.student, args.classes)
        net = prepare(student, True)
    trained = list(net.parameters())
    if args.workload == "crd":
        contrast = Contrast(student.widths[-1], frozen.widths[-1])
        pooled = [Pooled(student), Pooled(frozen)]
        trained += contrast.parameters()
    sgd = torch.optim.SGD(
        trained, lr=0.05, momentum=0.9, weight_decay=5e-4, fused=args.fused_sgd
    )

    def train(images, labels):
        sgd.zero_grad(set_to_none=True)
        with autocast():
            logits = net(images)
        if args.workload == "sftn":
            loss = friendly_loss(logits, labels)
        elif args.workload == "kd":
            loss = kd_loss(logits, infer(images), labels)
        elif args.workload == "crd":
            infer(images)
            index = torch.randperm(contrast.records)[: len(labels)]
            loss = F.cross_entropy(logits.float(), labels)
            loss = loss + 0.8 * contrast([p.value for p in pooled], index)
        else:
            loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        sgd.step()
        return loss.detach()

    return train


def laid_out(args, images):
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    return images.contiguous(memory_format=layout)


def time_steps(args, step):
    """Milliseconds of each step on one synthetic batch, after the warm-up."""
    images = laid_out(args, torch.randn(args.batch, 3, 32, 32))
    labels = torch.randint(args.classes, (args.batch,))
    for _ in range(args.warmup):
        step(images, labels)
    times = []
    end = time.perf_counter() + args.seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step(images, labels)
        times.append(1e3 * (time.perf_counter() - start))
    if not torch.isfinite(step(images, labels)).all():
        sys.exit("peer: the result is not finite")
    median = statistics.median(times)
    return {
        "steps": len(times),
        "images_per_s": 1e3 * args.batch / median,
        "ms_median": median,
        "ms_min": min(times),
        "ms_max": max(times),
    }


def time_epoch(args, step):
    """One epoch of CIFAR-100 with augmentation, after the warm-up; args.batches cuts it short."""
    from peer_data import loader

    batches = loader(args.epoch, args.batch, args.workers, args.limit)
    source = iter(batches)
    for _ in range(args.warmup):
        images, labels = next(source)
        step(laid_out(args, images), labels)
    total = torch.zeros(())
    waited = 0.0
    start = time.perf_counter()
    source = iter(batches)
    for number in range(args.batches or len(batches)):
        before = time.perf_counter()
        images, labels = next(source)
        waited += time.perf_counter() - before
        total += step(laid_out(args, images), labels)
    seconds = time.perf_counter() - start
    if not torch.isfinite(total):
        sys.exit("peer: the loss is not finite")
    return {
        "steps": number + 1,
        "images_per_s": args.batch * (number + 1) / seconds,
        "wait_share": waited / seconds,
        "workers": args.workers,
    }


def resident_bytes(field):
    """A field of /proc/self/status: VmRSS (now) or VmHWM (the most so far)."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def parse_args():
    parser = argparse.ArgumentParser(
        description="Times one PyTorch workload, prints one JSON line."
    )
    parser.add_argument("--workload", choices=["sftn", "kd", "crd", "plain", "frozen"], default="sftn")
    parser.add_argument("--teacher", default="wrn_40_2")
    parser.add_argument("--student", default="wrn_16_2")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile instead of eager mode"
    )
    parser.add_argument("--fused-sgd", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    parser.add_argument("--seconds", type=float, default=10, help="length of the timed part")
    parser.add_argument("--warmup", type=int, default=3, help="untimed steps before")
    parser.add_argument(
        "--epoch", metavar="DATA", help="time an epoch of CIFAR-100 read from there"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that make its batches")
    parser.add_argument("--limit", type=int, default=0, help="its first images only; 0: all")
    parser.add_argument("--batches", type=int, default=0, help="stop after so many; 0: all")
    return parser.parse_args()


def main():
    args = parse_args()
    imported = resident_bytes("VmRSS")
    torch.manual_seed(1)
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    if args.compile:
        # A frozen teacher's weights are then constants: batch norm folded, weights packed.
        from torch._inductor import config

        config.freezing = True
    step = make_step(args)
    result = time_epoch(args, step) if args.epoch else time_steps(args, step)
    print(
        json.dumps(
            {
                "program": "pytorch",
                "version": torch.__version__,
                "workload": args.workload,
                "teacher": args.teacher,
                "student": args.student,
                "batch": args.batch,
                "precision": args.precision,
                "channels_last": args.channels_last,
                "compile": args.compile,
                "fused_sgd": args.fused_sgd,
                "threads": torch.get_num_threads(),
                "peak_bytes": resident_bytes("VmHWM"),
                "import_bytes": imported,
            }
            | result
        )
    )


if __name__ == "__main__":
    main()
