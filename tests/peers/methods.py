"""Distillation losses in PyTorch, written from the papers: python methods.py DIR.

Writes DIR/loss/NAME.safetensors, laid out as sftn verify reads them: inputs, the method's own
parameters, loss and gradients. Networks' features are random numbers.
"""

import json
import math
import pathlib
import struct
import sys

import torch
from torch import nn
from torch.nn import functional as F

DTYPES = {torch.float32: "F32", torch.int64: "I64"}
N = 6


def save(path, tensors, meta):
    """A safetensors file."""
    header, blobs, at = {"__metadata__": meta}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        blob = tensor.numpy().tobytes()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(blob)],
        }
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write(folder, name, loss, module, inputs, extra=None, meta=None, method=None):
    """Compute loss(module, inputs) in double, from float32 inputs, and store it all."""
    inputs = {k: v.requires_grad_("_s" in k) for k, v in inputs.items()}
    file = {**{k: v.clone() for k, v in inputs.items()}, **(extra or {})}
    wide = {k: v.double() if v.dtype == torch.float32 else v for k, v in inputs.items()}
    vectors = {k: v.double() for k, v in (extra or {}).items() if v.dtype == torch.float32}
    if module is not None:
        for key, value in module.state_dict().items():
            file["param." + key] = value.clone()
        module = module.double().train()
    value = loss(module, {**wide, **(extra or {}), **vectors})
    value.backward()
    file["loss"] = value.reshape(1).float()
    for key, tensor in inputs.items():
        if tensor.grad is not None:
            file["grad." + key] = tensor.grad.float()
    for key, tensor in module.named_parameters() if module is not None else []:
        # A bias before a batch norm changes nothing; what is left of its gradient is rounding.
        if tensor.grad is not None and tensor.grad.abs().max() > 1e-12:
            file["grad.param." + key] = tensor.grad.float()
    save(folder / f"{name}.safetensors", file, {"loss": method or name, **(meta or {})})


def maps(student, teacher, n=N):
    """Features of both networks: one [channels, pixels] a pair."""
    made = {}
    for i, ((cs, hs), (ct, ht)) in enumerate(zip(student, teacher)):
        made[f"feat_s.{i}"] = torch.randn(n, cs, hs, hs)
        made[f"feat_t.{i}"] = torch.randn(n, ct, ht, ht)
    return made


def randomized(module):
    """Weights of batch norms and biases away from their trivial beginnings."""
    for key, p in module.named_parameters():
        if p.dim() == 1:
            p.data = p.data + 0.2 * torch.randn_like(p)
    return module


def named(parts):
    """A module whose parameters are called as in parts: {"pair1": {"conv": module}}."""
    root = nn.Module()
    for name, part in parts.items():
        root.add_module(name, named(part) if isinstance(part, dict) else part)
    return root


def pairs(made):
    return range(sum(k.startswith("feat_s") for k in made))


def shrink(x, like):
    return F.adaptive_avg_pool2d(x, like.shape[2]) if x.shape[2] > like.shape[2] else x


# ---- methods ----


def conv_reg(cs, hs, ct, ht, relu):
    if hs == 2 * ht:
        conv = nn.Conv2d(cs, ct, 3, stride=2, padding=1)
    elif 2 * hs == ht:
        conv = nn.ConvTranspose2d(cs, ct, 4, stride=2, padding=1)
    else:
        conv = nn.Conv2d(cs, ct, 1 + hs - ht)
    return randomized(named({"conv": conv, "bn": nn.BatchNorm2d(ct)})), relu


def regress(module, x, relu):
    x = module.bn(module.conv(x))
    return F.relu(x) if relu else x


def fitnet(folder, name, student, teacher):
    module, _ = conv_reg(*student, *teacher, True)
    loss = lambda m, x: F.mse_loss(regress(m, x["feat_s.0"], True), x["feat_t.0"])
    write(folder, name, loss, module, maps([student], [teacher]), method="fitnet")


def cc(folder):
    module = named({"embed_s": {"linear": nn.Linear(9, 5)}, "embed_t": {"linear": nn.Linear(7, 5)}})

    def loss(m, x):
        delta = (m.embed_s.linear(x["feat_s.0"]) - m.embed_t.linear(x["feat_t.0"])).abs()
        return (delta[:-1] * delta[1:]).sum(1).mean()

    inputs = {"feat_s.0": torch.randn(N, 9), "feat_t.0": torch.randn(N, 7)}
    write(folder, "cc", loss, module, inputs, meta={"dim": "5"})


def vid(folder):
    student, teacher = [(3, 8), (5, 4)], [(4, 4), (6, 4)]
    parts = {}
    for i, ((cs, _), (ct, _)) in enumerate(zip(student, teacher)):
        conv = lambda a, b: nn.Conv2d(a, b, 1, bias=False)
        regressor = nn.Sequential(conv(cs, ct), nn.ReLU(), conv(ct, ct), nn.ReLU(), conv(ct, ct))
        part = named({"regressor": regressor})
        part.log_scale = nn.Parameter(torch.randn(ct))
        parts[f"pair{i + 1}"] = part

    def loss(m, x):
        total = 0
        for i in pairs(x):
            part = getattr(m, f"pair{i + 1}")
            s, t = x[f"feat_s.{i}"], x[f"feat_t.{i}"]
            s, t = shrink(s, t), shrink(t, s)
            v = (F.softplus(part.log_scale) + 1e-5).view(1, -1, 1, 1)
            total = total + (0.5 * ((part.regressor(s) - t) ** 2 / v + v.log())).mean()
        return total

    write(folder, "vid", loss, named(parts), maps(student, teacher))


def energy(f):
    return F.normalize(f.pow(2).mean(1).flatten(1))


def at(folder):
    def loss(_, x):
        total = 0
        for i in pairs(x):
            s, t = x[f"feat_s.{i}"], x[f"feat_t.{i}"]
            s, t = shrink(s, t), shrink(t, s)
            total = total + F.mse_loss(energy(s), energy(t))
        return total

    write(folder, "at", loss, None, maps([(3, 8), (5, 4)], [(4, 5), (6, 7)]))


def nst(folder):
    def kernel(a, b):
        return torch.einsum("ncx,ndx->ncd", a, b).pow(2).mean()

    def loss(_, x):
        total = 0
        for i in pairs(x):
            s, t = x[f"feat_s.{i}"], x[f"feat_t.{i}"]
            s, t = (F.normalize(f.flatten(2), dim=2) for f in (shrink(s, t), shrink(t, s)))
            total = total + kernel(t, t) + kernel(s, s) - 2 * kernel(s, t)
        return total

    write(folder, "nst", loss, None, maps([(3, 8), (5, 4)], [(4, 5), (6, 7)]))


def fsp(folder):
    def flow(a, b):
        a, b = shrink(a, b), shrink(b, a)
        return torch.einsum("ncx,ndx->ncd", a.flatten(2), b.flatten(2)) / a[0, 0].numel()

    def loss(_, x):
        return sum(
            F.mse_loss(*(flow(x[f"feat_{w}.{i}"], x[f"feat_{w}.{i + 1}"]) for w in "st"))
            for i in pairs(x)[:-1]
        )

    write(folder, "fsp", loss, None, maps([(3, 8), (5, 4), (2, 5)], [(3, 6), (5, 6), (2, 3)]))


def margin(scale, offset):
    """Per channel, in plain Python: the mean of what is negative, or -3 sigma."""
    made = []
    for s, mu in zip(scale.abs().tolist(), offset.tolist()):
        tail = 0.5 * math.erfc(mu / s / math.sqrt(2))
        density = math.exp(-0.5 * (mu / s) ** 2) / math.sqrt(2 * math.pi)
        made.append(mu - s * density / tail if tail > 0.001 else -3 * s)
    return torch.tensor(made, dtype=torch.float64).view(1, -1, 1, 1)


def ofd(folder):
    student, teacher = [(3, 8), (5, 4), (4, 2)], [(4, 4), (6, 4), (5, 2)]
    parts, extra = {}, {}
    for i, ((cs, _), (ct, _)) in enumerate(zip(student, teacher)):
        connector = nn.Sequential(nn.Conv2d(cs, ct, 1, bias=False), nn.BatchNorm2d(ct))
        parts[f"pair{i + 1}"] = {"connector": randomized(connector)}
        extra[f"norm_t.{i}.scale"] = torch.randn(ct)
        extra[f"norm_t.{i}.offset"] = torch.randn(ct)
    extra["norm_t.0.offset"][0], extra["norm_t.0.scale"][0] = 2.0, 0.25  # -3 sigma

    def loss(m, x):
        total = 0
        for i in pairs(x):
            s = getattr(m, f"pair{i + 1}").connector(x[f"feat_s.{i}"])
            t = F.adaptive_avg_pool2d(x[f"feat_t.{i}"], s.shape[2])
            low = margin(x[f"norm_t.{i}.scale"], x[f"norm_t.{i}.offset"])
            part = (s - low) ** 2 * ((s > low) & (t <= low))
            part = part + (s - t) ** 2 * ((s > t) & (t > low) & (t <= 0))
            part = part + (s - t) ** 2 * (t > 0)
            total = total + part.mean(0).sum() / 2 ** (len(pairs(x)) - 1 - i)
        return total

    write(folder, "ofd", loss, named(parts), maps(student, teacher), extra)


def context(s, t):
    loss, weight, total = F.mse_loss(s, t), 1.0, 1.0
    for size in (4, 2, 1):
        if size >= s.shape[2]:
            continue
        weight /= 2
        total += weight
        pool = lambda f: F.adaptive_avg_pool2d(f, size)
        loss = loss + weight * F.mse_loss(pool(s), pool(t))
    return loss / total


def reviewkd(folder):
    student = [(3, 12), (5, 6), (4, 4), (7, 1)]
    teacher = [(4, 6), (6, 6), (5, 8), (8, 1)]
    mid, parts = 7, {}
    for i, ((cs, _), (ct, _)) in enumerate(zip(student, teacher)):
        conv = lambda a, b, k: nn.Conv2d(a, b, k, padding=k // 2, bias=False)
        part = {
            "conv1": nn.Sequential(conv(cs, mid, 1), nn.BatchNorm2d(mid)),
            "conv2": nn.Sequential(conv(mid, ct, 3), nn.BatchNorm2d(ct)),
        }
        if i < len(student) - 1:
            part["att_conv"] = nn.Sequential(nn.Conv2d(2 * mid, 2, 1), nn.Sigmoid())
        parts[f"pair{i + 1}"] = part

    def loss(m, x):
        total, deeper = 0, None
        for i in reversed(pairs(x)):
            part = getattr(m, f"pair{i + 1}")
            t, h = x[f"feat_t.{i}"], part.conv1(x[f"feat_s.{i}"])
            if deeper is not None:
                y = F.interpolate(deeper, h.shape[2], mode="nearest")
                z = part.att_conv(torch.cat([h, y], 1))
                h = h * z[:, :1] + y * z[:, 1:]
            deeper = F.interpolate(h, t.shape[2], mode="nearest")
            total = total + context(part.conv2(deeper), t)
        return total

    write(folder, "reviewkd", loss, randomized(named(parts)), maps(student, teacher))


def dist(folder):
    def correlation(a, b):
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)).mean()

    def loss(_, x):
        p, q = (F.softmax(x[f"logits_{w}"] / 3, 1) for w in "st")
        return 9 * (1.5 * (1 - correlation(p, q)) + 0.5 * (1 - correlation(p.T, q.T)))

    logits = {"logits_s": 3 * torch.randn(N, 11), "logits_t": 3 * torch.randn(N, 11)}
    write(folder, "dist", loss, None, logits, meta={"T": "3", "beta": "1.5", "gamma": "0.5"})


def ab(folder):
    student, teacher = [(3, 8), (5, 4)], [(4, 4), (5, 4)]
    module, _ = conv_reg(3, 8, 4, 4, False)

    def loss(m, x):
        total = 0
        for i in pairs(x):
            s, t = x[f"feat_s.{i}"], x[f"feat_t.{i}"]
            s = regress(m.pair1, s, False) if i == 0 else s
            wrong = (s + 1) ** 2 * ((s > -1) & (t <= 0)) + (s - 1) ** 2 * ((s <= 1) & (t > 0))
            total = total + wrong.sum() / N * 0.003 / 2 ** (len(pairs(x)) - 1 - i)
        return total

    write(folder, "ab", loss, named({"pair1": module}), maps(student, teacher), method="abound")


def ft(folder):
    def encoder(a, b, c, bn):
        layers = []
        for x, y in ((a, b), (b, c), (c, c)):
            layers += [nn.Conv2d(x, y, 3, padding=1)] + [nn.BatchNorm2d(y)] * bn
            layers += [nn.LeakyReLU(0.1)]
        return nn.Sequential(*layers)

    def decoder(a, b):
        layers = []
        for x, y in ((a, a), (a, b), (b, b)):
            layers += [nn.ConvTranspose2d(x, y, 3, padding=1), nn.LeakyReLU(0.1)]
        return nn.Sequential(*layers)

    parts = {
        "translator": named({"encoder": encoder(5, 5, 4, True)}),
        "paraphraser": named({"encoder": encoder(8, 8, 4, False).requires_grad_(False)}),
    }

    def loss(m, x):
        s, t = m.translator.encoder(x["feat_s.0"]), m.paraphraser.encoder(x["feat_t.0"])
        return (energy(shrink(s, t)) - energy(shrink(t, s))).abs().mean()

    write(folder, "ft", loss, named(parts), maps([(5, 6)], [(8, 4)]), method="factor")

    both = named({"encoder": encoder(8, 8, 4, False), "decoder": decoder(4, 8)})

    def reconstruction(m, x):
        again = m.paraphraser.decoder(m.paraphraser.encoder(x["feat_t.0"]))
        return ((again - x["feat_t.0"]) ** 2).mean()

    write(
        folder, "ft_paraphraser", reconstruction, named({"paraphraser": both}),
        maps([(5, 6)], [(8, 4)]), method="paraphraser",
    )


def sskd(folder):
    """As the authors' code selects rows: sorted by the teacher's rank of what is right."""
    n, classes = 8, 11

    def mlp(d):
        return nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d))

    def cosines(f):
        return F.cosine_similarity(f[n:].unsqueeze(1), f[:n].unsqueeze(0), dim=2)

    def chosen(p, target, keep):
        rank = torch.argsort(p, dim=1, descending=True, stable=True)
        rank = torch.argmax(torch.eq(rank, target.unsqueeze(1)).long(), dim=1)
        wrong = int(torch.count_nonzero(rank))
        index = torch.argsort(rank, stable=True)
        return index[: 3 * n - wrong + int(wrong * keep)].sort()[0]

    def divergence(p, q, temperature):
        p, q = F.softmax(p / temperature, 1), F.log_softmax(q / temperature, 1)
        return F.kl_div(q, p, reduction="batchmean") * temperature**2

    def case(name, keep_turned, keep_similarity, t, t_turned, t_similarity, weights):
        parts = {"head_s": mlp(6), "head_t": mlp(5).requires_grad_(False)}

        def loss(m, x):
            s, q = m.head_s(x["feat_s.0"]), m.head_t(x["feat_t.0"])
            zs, zt, labels = x["logits_s"], x["logits_t"], x["labels"]
            near_s, near_t = cosines(s), cosines(q).detach()
            rows = chosen(zt[n:], labels.repeat(3), keep_turned)
            alike = chosen(near_t, torch.arange(n).repeat(3), keep_similarity)
            return (
                weights[0] * divergence(zt[:n], zs[:n], t)
                + weights[1] * divergence(zt[n:][rows], zs[n:][rows], t_turned)
                + weights[2] * divergence(near_t[alike], near_s[alike], t_similarity)
            )

        meta = {
            "T": str(t), "T_turned": str(t_turned), "T_similarity": str(t_similarity),
            "w_normal": str(weights[0]), "w_turned": str(weights[1]),
            "w_similarity": str(weights[2]), "keep_turned": str(keep_turned),
            "keep_similarity": str(keep_similarity),
        }
        write(folder, name, loss, named(parts), inputs(), meta=meta, method="sskd")

    def inputs():
        labels = torch.randint(classes, (n,))
        logits_t = 2 * torch.randn(4 * n, classes)
        logits_t += 3 * F.one_hot(labels.repeat(4), classes) * (torch.rand(4 * n, 1) < 0.5)
        return {
            "logits_s": 3 * torch.randn(4 * n, classes), "logits_t": logits_t,
            "feat_s.0": torch.randn(4 * n, 6), "feat_t.0": torch.randn(4 * n, 5),
            "labels": labels,
        }

    case("sskd", 1.0, 0.75, 4, 4, 0.5, (0.9, 2.7, 10))
    case("sskd_fewer", 0.3, 0.1, 2, 3, 0.25, (1, 2, 3))

    def told_apart(m, x):
        return F.cross_entropy(cosines(m.head_t(x["feat_t.0"])), torch.arange(n).repeat(3))

    write(
        folder, "sskd_head", told_apart, named({"head_t": mlp(5)}), inputs(), method="sskd_head"
    )


def kdsvd(folder):
    def positions(f):
        """As the CRD benchmark makes matrices of maps: [positions, channels]."""
        return f.flatten(2).transpose(1, 2)

    def lines(f):
        """As mdistiller does: [channels x rows, columns]."""
        return f.flatten(1, 2)

    def singular(x, k):
        _, s, v = torch.linalg.svd(x, full_matrices=False)
        v = v.transpose(1, 2)[:, :, :k]
        return F.normalize(s[:, :k], dim=1), F.normalize(v, dim=1)

    def aligned(v, like):
        cosine = like.transpose(1, 2) @ v
        at = cosine.abs().argmax(dim=2)
        sign = cosine.gather(2, at.unsqueeze(2)).sign().transpose(1, 2)
        return sign * v.gather(2, at.unsqueeze(1).expand(-1, v.shape[1], -1))

    def table(a, b):
        return torch.exp(-((a.unsqueeze(2) - b.unsqueeze(1)) ** 2) / 8)

    def loss(matrix, k):
        def of(_, x):
            total, last = 0, None
            for i in pairs(x):
                s, t = matrix(x[f"feat_s.{i}"]), matrix(x[f"feat_t.{i}"])
                weight, v = singular(t, k)
                along = t.mean(1, keepdim=True) @ v
                v = v * torch.where(along > 0, 1.0, -1.0)
                now = (weight.unsqueeze(1) * aligned(singular(s, k + 3)[1], v)), (
                    weight.unsqueeze(1) * v
                )
                if last:
                    gap = table(now[0], last[0]) - table(now[1], last[1]).detach()
                    total = total + (gap**2).sum() / s.shape[0]
                last = now
            return total

        return of

    def case(vectors, matrix, k, student, teacher):
        write(folder, f"kdsvd_{vectors}{k}", loss(matrix, k), None, maps(student, teacher),
              meta={"k": str(k), "vectors": vectors}, method="kdsvd")

    for k in (1, 2):
        sizes = [(3, 8), (4, 5), (6, 4)]
        case("columns", lines, k, sizes, [(5, 8), (7, 5), (4, 4)])
        case("channels", positions, k, sizes, [(3, 6), (4, 7), (6, 2)])


# ---- networks that learn from one another ----


def divergence(p, q, temperature):
    p, q = (F.log_softmax(z / temperature, 1) for z in (p, q))
    return (p.exp() * (p - q)).sum(1).mean() * temperature**2


def minlogit(z, labels):
    return torch.stack([a - a.gather(1, labels.view(-1, 1)) for a in z]).amin(0)


def naive(z, labels):
    losses = torch.stack([F.cross_entropy(a, labels, reduction="none") for a in z])
    return torch.stack(z)[losses.argmin(0), torch.arange(len(labels))]


def linear(steps):
    def together(z, labels):
        spans = [a.amax(1) - a.amin(1) for a in (p - q for p in z for q in z)]
        rate = 16 / max((span**2).mean() for span in spans)
        w = torch.zeros(len(z), dtype=torch.float64)
        for _ in range(steps):
            a = F.softmax(w, 0).requires_grad_()
            F.cross_entropy(sum(c * x for c, x in zip(a, z)), labels).backward()
            w = w - rate * a.grad
        return sum(c * x for c, x in zip(F.softmax(w, 0), z))

    return together


def error_weights(held, labels, ridge):
    e = torch.stack([F.softmax(z, 1) - F.one_hot(labels, z.shape[1]) for z in held])
    c = torch.einsum("ink,jnk->ij", e, e) / len(labels)
    ones = torch.ones(len(held), dtype=torch.float64)
    w = torch.linalg.solve(c + ridge * c.diagonal().mean() * torch.eye(len(held)), ones)
    return w / w.sum()


def mutual(folder):
    def answers(networks, n, classes):
        labels = torch.randint(classes, (n,))
        right = 2 * F.one_hot(labels, classes)
        return [right + 2 * torch.randn(n, classes) for _ in range(networks)], labels

    def save_case(name, method, z, labels, target, temperature, options, extra):
        """target: what network i imitates, a constant, or several of them."""
        z = [a.requires_grad_() for a in z]
        wide = [a.double() for a in z]
        file, losses = {**extra, "labels": labels}, []
        for i, a in enumerate(z):
            goals = [g.detach() for g in target([b.detach() for b in wide], i)]
            loss = sum(divergence(g, wide[i], temperature) for g in goals) / len(goals)
            losses.append(loss.detach())
            file[f"logits.{i}"] = a
            file[f"grad.logits.{i}"] = torch.autograd.grad(loss, a)[0]
        file["loss"] = torch.stack(losses).float()
        meta = {"option." + k: str(v) for k, v in options.items()}
        save(folder / f"{name}.safetensors", file, {"loss": method, **meta})

    def kdcl(name, networks, together, temperature, options, extra=None):
        z, labels = answers(networks, 8, 11)
        options = {"temperature": temperature, **options}
        goal = lambda wide, i: [together(wide, labels)]
        save_case(name, "kdcl", z, labels, goal, temperature, options, extra or {})

    def general(name, held, labels, options):
        w = error_weights([z.double() for z in held], labels, options["ridge"])
        extra = {f"held.{i}": z for i, z in enumerate(held)}
        extra |= {"held_labels": labels, "weights": w.float()}
        together = lambda z, _: sum(c * a for c, a in zip(w, z))
        kdcl(name, len(held), together, 2, {"ensemble": "general", **options}, extra)

    z, labels = answers(3, 8, 11)
    others = lambda wide, i: wide[:i] + wide[i + 1 :]
    save_case("dml", "dml", z, labels, others, 3, {"temperature": 3}, {})
    kdcl("kdcl_minlogit", 3, minlogit, 2, {"ensemble": "minlogit"})
    kdcl("kdcl_naive", 4, naive, 3, {"ensemble": "naive"})
    kdcl("kdcl_linear", 3, linear(12), 2, {"ensemble": "linear", "steps": 12})
    general("kdcl_general", *answers(4, 20, 11), {"ridge": 0.02})
    held, labels = answers(3, 20, 11)
    general("kdcl_general_singular", [held[0], held[1], held[1]], labels, {"ridge": 0.0001})


def main():
    folder = pathlib.Path(sys.argv[1]) / "loss"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    fitnet(folder, "fitnet", (3, 6), (5, 6))
    fitnet(folder, "fitnet_halves", (3, 8), (5, 4))
    fitnet(folder, "fitnet_doubles", (3, 4), (5, 8))
    fitnet(folder, "fitnet_cuts", (3, 7), (5, 5))
    for method in (cc, vid, at, nst, fsp, ofd, reviewkd, dist, ab, ft, sskd, kdsvd, mutual):
        method(folder)


main()
