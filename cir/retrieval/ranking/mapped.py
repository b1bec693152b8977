"""Read vectors that lie in several files as if they were one matrix, without loading them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Vectors(Protocol):
    """What a ranking needs of the vectors [N, D] of a gallery; an array has it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Return one vector [D], or the vectors [n, D] of a slice or of row numbers."""


class MappedVectors:
    """The rows of several arrays [n, D], one after the other: vectors [N, D] that stay on disk.

    The arrays are to be memory-mapped (`np.load(path, mmap_mode="r")`). A slice that lies in one
    file is a view of it; anything else is a copy of the rows asked for.
    """

    def __init__(self, files: Sequence[np.ndarray]):
        assert files, "there are no files"
        assert len({file.shape[1:] for file in files}) == 1, "vectors differ in length"
        self._files = [file for file in files if len(file)] or [files[0]]
        self._ends = np.cumsum([len(file) for file in self._files])
        self.shape = (int(self._ends[-1]), files[0].shape[1])
        self.dtype = files[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Return one vector [D], or the vectors [n, D] of a slice or of row numbers."""
        if isinstance(rows, slice):
            return self._slice(*rows.indices(len(self)))
        numbers = np.asarray(rows)
        if numbers.ndim == 0:
            return self._picked(numbers[None])[0]
        return self._picked(numbers)

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        assert step == 1, "a slice of vectors has no step"
        first = int(np.searchsorted(self._ends, start, side="right"))
        parts = []
        while start < stop:
            file, end = self._files[first], int(self._ends[first])
            offset = end - len(file)
            parts.append(file[start - offset : stop - offset])
            start, first = end, first + 1
        if not parts:
            return np.empty((0, self.shape[1]), self.dtype)
        return np.asarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)

    def _picked(self, numbers: np.ndarray) -> np.ndarray:
        if numbers.size and not (-1 < numbers.min() <= numbers.max() < len(self)):
            raise IndexError(f"rows from {numbers.min()} to {numbers.max()} of {len(self)}")
        found = np.empty((len(numbers), self.shape[1]), self.dtype)
        of = np.searchsorted(self._ends, numbers, side="right")
        for place in np.unique(of):
            own = of == place
            offset = int(self._ends[place]) - len(self._files[place])
            found[own] = self._files[place][numbers[own] - offset]
        return found
