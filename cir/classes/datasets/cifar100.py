"""Read the Python version of CIFAR-100 (Krizhevsky, 2009), with its 100 fine labels.

    root/train, root/test    pickled: data [N, 3072] uint8, each row the red, green and blue
                             planes of 32 x 32 pixels; fine_labels, N numbers
    root/meta                pickled: fine_label_names

The planes are stored row by row. Loading a pickle calls the functions that it names, so
`read_pickle` admits only names of data (see "Restricting Globals" in the documentation of Python's
module pickle).
"""

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cir.classes.datasets import division, folders
from cir.classes.datasets.base import Findings, Images, LabelledImage
from cir.classes.datasets.params import CIFAR100
from cir.core.english import listed
from cir.core.errors import UserError, reason_of
from cir.images.shards import Row
from cir.images.splitting import Split

_SIDE = 32
_VALUES = 3 * _SIDE * _SIDE


def splits(params: CIFAR100, seed: int) -> dict[str, Split]:
    """Read CIFAR-100; see make_splits. Images are stored as BMP, without loss."""
    folders.require_root(params.root)
    names = _names(params.root / "meta")
    pools: dict[str, Images] = {}
    pixels: dict[str, np.ndarray] = {}
    for pool in ("train", "test"):
        data, labels = _read(params.root / pool, names)
        ids = [f"{pool}/{label}/{number:05d}" for number, label in enumerate(labels)]
        pixels.update(zip(ids, data, strict=True))
        pools[pool] = tuple(
            LabelledImage(name, label, hashlib.sha256(row.tobytes()).hexdigest())
            for name, label, row in zip(ids, labels, data, strict=True)
        )
    parts = division.of_given_parts(params, params.val, pools, Findings(params.leave_out), seed)

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
    """Return the pixels [N, 3072] uint8 and the N classes of a part."""
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
    """Return the values of the keys of `kinds`, each of the type that `kinds` says."""
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


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for codecs.encode, by which protocols before the third write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are written as latin1, not {encoding}")
    return text.encode("latin1")


# numpy's private functions that rebuild pickled arrays live in other modules since numpy 2.0.
_reconstruct = np.empty(1).__reduce__()[0]
_frombuffer = np.empty(1).__reduce_ex__(5)[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class _ForbiddenError(Exception):
    """A pickle names something that is not data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _ForbiddenError(f"{module}.{name}")
        return _ALLOWED[module, name]


def read_pickle(path: Path) -> Any:
    """Read dicts, lists, texts, bytes, numbers and numpy arrays; texts of Python 2 become bytes.

    Raises UserError for a file that is missing or broken or that names anything else; nothing that
    such a file names is called.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    with path.open("rb") as file:
        try:
            return _Unpickler(file, encoding="bytes").load()
        except _ForbiddenError as error:
            raise UserError(
                f"{path} is not read because it names {error}: expected only arrays, texts, lists "
                "and dictionaries"
            ) from None
        except Exception as error:  # broken bytes raise nearly any exception
            raise UserError(
                f"{path} is no pickled file, or not whole: {reason_of(error)}"
            ) from error
