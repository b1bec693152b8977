"""What indexing and serving ask of the place where the images are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

LARGEST = 256 << 20  # bytes of a file; whatever is larger is no picture that anybody looks at


@dataclass(frozen=True)
class Listed:
    """An image file, not opened yet.

    Attributes:
        path: relative to the source, with "/" between the parts; bytes that are no UTF-8 are
            surrogates, as os.fsdecode makes them.
        bytes: its size.
        date: when it was modified, in seconds since 1970.
        tags: what the user calls it, sorted; None where the source knows nothing of tags, so that
            those which it was given before stay.
    """

    path: str
    bytes: int
    date: float
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Problem:
    """What listing met in the way of a file or a folder, and says in a sentence.

    `may_return` tells that images in it are there but could not be looked at this time.
    """

    path: str
    sentence: str
    may_return: bool


class ImageSource(Protocol):
    """Images by their paths; `cir.datasets.sources` has the real ones. Threads may share one."""

    name: str
    """The kind and the place, such as "folder:/home/ann/photos"; `open_source` takes it."""

    problems: tuple[Problem, ...]
    """What the last listing met."""

    def listed(self) -> Iterator[Listed]:
        """All images, sorted by path. Raises UserError if the place is not there."""

    def read(self, path: str) -> bytes:
        """The file of an image that `listed` gives.

        Raises UserError for one that is not there, that cannot be read, or that lies outside.
        """
