"""CIFAR-100's Python version (Krizhevsky, 2009), by its 100 fine labels.

    root/train, root/test    pickled: data [N, 3072] uint8, each row the red, green and blue
                             planes of 32 x 32 pixels; fine_labels, N numbers
    root/meta                pickled: fine_label_names

The planes are stored row by row.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from cir.classes.datasets import folders
from cir.classes.datasets.base import ClassSource, Findings, Images, LabelledImage
from cir.classes.datasets.given import Given, GivenGallery
from cir.classes.datasets.safe_pickle import read_pickle
from cir.core.errors import UserError
from cir.core.sentences import listed
from cir.images.shard_files import Row
from cir.images.splitting import Split

_SIDE = 32
_VALUES = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class CIFAR100(ClassSource):
    """See Given for `val`, `gallery` and `query_share`."""

    name: ClassVar[str] = "cifar100"

    root: Path
    val: float
    gallery: GivenGallery
    query_share: float
    leave_out: bool

    def splits(self, seed: int) -> dict[str, Split]:
        """See ClassSource; images are stored as BMP, without loss."""
        folders.require_root(self.root)
        names = _names(self.root / "meta")
        pools: dict[str, Images] = {}
        pixels: dict[str, np.ndarray] = {}
        for pool in ("train", "test"):
            data, labels = _read(self.root / pool, names)
            ids = [f"{pool}/{label}/{number:05d}" for number, label in enumerate(labels)]
            pixels.update(zip(ids, data, strict=True))
            pools[pool] = tuple(
                LabelledImage(name, label, hashlib.sha256(row.tobytes()).hexdigest())
                for name, label, row in zip(ids, labels, data, strict=True)
            )
        given = Given(self.gallery, self.val, self.query_share)
        parts = given.parts(self.name, pools, Findings(self.leave_out), seed)

        def rows(images: Sequence[LabelledImage]) -> Iterator[Row]:
            return ((image.id, _encoded(pixels[image.id]), (image.label,)) for image in images)

        return parts.splits(rows)


def _encoded(row: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    planes = row.reshape(3, _SIDE, _SIDE)
    Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0))).save(buffer, "BMP")
    return buffer.getvalue()


def _names(path: Path) -> list[str]:
    names = [_text(name) for name in _values(path, {"fine_label_names": list})[0]]
    if not names or len(set(names)) < len(names) or not all(names):
        raise UserError(f"{path}: expected different names of classes, got {listed(names)}")
    return names


def _read(path: Path, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The pixels [N, 3072] uint8 and the N classes of a part."""
    data, numbers = _values(path, {"data": np.ndarray, "fine_labels": list})
    if data.dtype != np.uint8 or data.shape != (len(numbers), _VALUES):
        raise UserError(
            f"{path}: expected data of {len(numbers)} x {_VALUES} bytes, one row for each of "
            f"fine_labels, got {' x '.join(map(str, data.shape))} of {data.dtype}"
        )
    wrong = [
        f"{number!r} of image {place}"
        for place, number in enumerate(numbers)
        if not isinstance(number, int) or not 0 <= number < len(names)
    ]
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} of {len(numbers)} fine_labels are no numbers from 0 to "
            f"{len(names) - 1}: {listed(wrong)}"
        )
    return data, [names[number] for number in numbers]


def _values(path: Path, kinds: Mapping[str, type]) -> list[Any]:
    """The values of these keys, each of its kind."""
    content = read_pickle(path)
    given: Mapping[str, Any] = {}
    if isinstance(content, dict):
        given = {_text(name): value for name, value in content.items()}
    wrong = [key for key, kind in kinds.items() if not isinstance(given.get(key), kind)]
    if wrong:
        raise UserError(
            f"{path} is no file of CIFAR-100's Python version: it has no {' and no '.join(wrong)}"
        )
    return [given[key] for key in kinds]


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
