"""The records that the packages exchange: edits and triplets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A sentence with the objects that it asks to add and to remove, as written there."""

    text: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class Triplet:
    """A query with its answer.

    Args:
        id: id of the query.
        reference, target: ids of the two images.
        text: the sentence.
        add, remove: the true edit, or None if the source does not give it.
        near_misses: ids of images in which one part of the edit is missing or wrong.
        novel: whether an object of the edit has a name that training never shows.
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
        """Return the true edit, or None if the source gives only sentences."""
        if self.add is None or self.remove is None:
            return None
        return Edit(self.text, self.add, self.remove)
