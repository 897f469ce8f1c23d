"""CIFAR-100 for the peer: augmented batches as a careful PyTorch user makes them.

Random crop of the image padded by 4 black pixels, mirroring, normalization: the same augmentation
as sftn's.  A batch is made by one gather over all of its images, not image by image; the loader
does so in the training process (workers 0) or in processes of its own.
"""

import pathlib
import tarfile

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

MEAN = (0.5071, 0.4867, 0.4408)
STD = (0.2675, 0.2565, 0.2761)
PAD, SIZE = 4, 32
RECORD = 2 + 3 * SIZE * SIZE


def read_train(path):
    """Images [n,3,32,32] uint8 and fine labels of the official archive, a directory or train.bin."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = next(path.rglob("train.bin"))
    if path.suffix == ".bin":
        raw = path.read_bytes()
    else:
        with tarfile.open(path) as archive:
            name = next(n for n in archive.getnames() if n.endswith("train.bin"))
            raw = archive.extractfile(name).read()
    records = np.frombuffer(raw, np.uint8).reshape(-1, RECORD)
    images = records[:, 2:].reshape(-1, 3, SIZE, SIZE)
    return torch.from_numpy(images.copy()), torch.from_numpy(records[:, 1].astype(np.int64))


class Cifar100(Dataset):
    """Indexed by lists of records: each list is a batch, channels last in memory."""

    def __init__(self, path, limit):
        images, self.labels = read_train(path)
        if limit > 0:
            images, self.labels = images[:limit], self.labels[:limit]
        self.images = torch.nn.functional.pad(images.permute(0, 2, 3, 1), (0, 0) + (PAD,) * 4)
        self.scale = 1 / (255 * torch.tensor(STD))
        self.shift = -torch.tensor(MEAN) / torch.tensor(STD)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, records):
        records = torch.as_tensor(records)
        n = len(records)
        along = torch.arange(SIZE)
        rows = torch.randint(2 * PAD + 1, (n, 1)) + along
        flip = torch.rand(n, 1) < 0.5
        columns = torch.randint(2 * PAD + 1, (n, 1)) + torch.where(flip, SIZE - 1 - along, along)
        pixels = self.images[records[:, None, None], rows[:, :, None], columns[:, None, :]]
        pixels = torch.addcmul(self.shift, pixels.float(), self.scale)
        return pixels.permute(0, 3, 1, 2), self.labels[records]


def loader(path, batch, workers, limit):
    """Shuffled full batches of one epoch after another."""
    data = Cifar100(path, limit)
    return DataLoader(
        data,
        sampler=BatchSampler(RandomSampler(data), batch, drop_last=True),
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers > 0 else None,
    )
