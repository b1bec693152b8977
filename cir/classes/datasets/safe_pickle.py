"""Pickled data without pickled code: a pickle may name functions, and loading it calls them.

See "Restricting Globals" in the documentation of Python's module pickle.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from cir.core.errors import UserError


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them in protocols before the third."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are written as latin1, not {encoding}")
    return text.encode("latin1")


# numpy's private functions that make arrays of pickles live in other modules since 2.0.
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
    """Read dicts, lists, texts, bytes, numbers and numpy arrays; texts of Python 2 are bytes.

    Raises UserError for a file that is missing, broken, or names anything else; none of what it
    names is called.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    with path.open("rb") as file:
        try:
            return _Unpickler(file, encoding="bytes").load()
        except _ForbiddenError as error:
            raise UserError(
                f"{path} is not read, as it names {error}: expected arrays, texts, lists and "
                "dictionaries alone"
            ) from None
        except Exception as error:  # broken bytes end in nearly any of them
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path} is no pickled file, or not whole: {reason}") from error
