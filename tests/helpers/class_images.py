"""Make folders of pictures with classes, and the params of the sources that read them."""

import collections

import numpy as np
import torch
from PIL import Image

from cir.classes.datasets import PARTS
from cir.classes.datasets.params import (
    CIFAR100,
    ClassFolders,
    DividedFolders,
    Food101,
    TrainingAndTest,
)

STORED = {"rows_per_shard": 5000, "unusable": "refuse"}
FILES = {**STORED, "max_side": 64, "workers": 1}


def save(path, shade, size=(6, 4)):
    """A picture of its own for every shade below 2 ** 24."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (shade % 256, shade // 256 % 256, shade // 65536)
    Image.new("RGB", size, colour).save(path, "PNG")


def fill(folder, classes, shade=0):
    """Class folders with as many pictures as `classes` says, all of different content."""
    for label, count in classes.items():
        for number in range(count):
            save(folder / label / f"{label}-{number}.png", shade)
            shade += 1
    return folder


def ids(splits):
    """The ids of every part; taking the rows checks that they are as many as announced."""
    found = {}
    for part in PARTS:
        rows = list(splits[part].rows)
        assert len(rows) == splits[part].images
        assert len({name for name, _, _ in rows}) == len(rows)
        assert collections.Counter(label for _, _, (label,) in rows) == collections.Counter(
            splits[part].info["classes"]
        )
        found[part] = {name: label for name, _, (label,) in rows}
    return found


def class_folders(root, **changes):
    options = {"divide": "images", "val": 0.1, "test": 0.2, "query_share": 0.25}
    return ClassFolders(source="class_folders", root=root, **(FILES | options | changes))


def divided(root, **changes):
    options = {"train": "train", "val": "val", "test": "test", "val_share": 0.2}
    options |= {"gallery": "train", "query_share": 0.5}
    return DividedFolders(source="divided_folders", root=root, **(FILES | options | changes))


def flat(root, **changes):
    options = {"labels": "prefix", "separator": "_", "csv": "labels.csv", "divide": "images"}
    options |= {"val": 0.25}
    return TrainingAndTest(source="training_and_test", root=root, **(FILES | options | changes))


def food(root, **changes):
    options = {"val": 0.25, "gallery": "train", "query_share": 0.5}
    return Food101(source="food101", root=root, **(FILES | options | changes))


def cifar(root, **changes):
    options = {"val": 0.25, "gallery": "train", "query_share": 0.5}
    return CIFAR100(source="cifar100", root=root, **(STORED | options | changes))


def flat_folders(root):
    fill(root / "training", {"apple_pie": 8, "pear": 8, "plum": 8, "quince": 8})
    for shade, name in enumerate(("apple_pie_1", "pear_1", "pear_2")):
        save(root / "test" / "query" / f"{name}.png", 500 + shade)
    for shade, name in enumerate(("apple_pie_1", "apple_pie_7", "pear_x", "kiwi_1")):
        save(root / "test" / "gallery" / f"{name}.png", 600 + shade)
    return root


def food_folder(root):
    fill(root / "images", {"pie": 8, "soup": 8})
    for path in (root / "images").rglob("*.png"):
        path.rename(path.with_suffix(".jpg"))  # what a file is, its content tells
    (root / "meta").mkdir()
    for pool, numbers in (("train", range(5)), ("test", range(5, 8))):
        lines = [f"{label}/{label}-{n}" for label in ("pie", "soup") for n in numbers]
        (root / "meta" / f"{pool}.txt").write_text("\n".join(lines))
    return root


def random_pixels(count=4, size=64, seed=0):
    """Pixels uint8 [N, 3, H, W] of noise."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def encoded(embedder, pixels):
    """What a tower or an embedder makes of pixels, without gradients."""
    with torch.inference_mode():
        return embedder.encode_images(pixels)
