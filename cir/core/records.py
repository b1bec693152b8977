"""The values that travel between the steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """What a sentence asks for: the objects to add and the objects to remove, as written."""

    text: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class Triplet:
    """A query with its answer: reference image, sentence, target image (all images by id).

    `add` and `remove` hold the true edit where the source knows it, else None.
    `near_misses` are images that answer the query almost: one part of the edit left undone or
    done wrongly. `novel` says that an object of the edit has a name never seen in training.
    """

    id: str
    reference: str
    text: str
    target: str
    add: tuple[str, ...] | None = None
    remove: tuple[str, ...] | None = None
    near_misses: tuple[str, ...] = ()
    novel: bool = False

    @property
    def edit(self) -> Edit | None:
        """The true edit, or None where the source gives sentences only."""
        if self.add is None or self.remove is None:
            return None
        return Edit(self.text, self.add, self.remove)
