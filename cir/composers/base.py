"""The interface of composers, and the encoded edits that they read."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

import torch
from torch import nn

from cir.core.english import article
from cir.core.errors import UserError
from cir.core.params import Section
from cir.core.records import Edit

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class EditFeatures:
    """The encoded edits of B queries, which name P objects in total.

    Args:
        objects: float [P, D], one row per named object, not normalised.
        owner: int64 [P], the query (0 … B-1) that names the object.
        sign: float [P], +1 where the object is added and -1 where it is removed.
        text: float [B, E], one row per edit's text, not normalised; None for composers that read
            names only.
    """

    objects: torch.Tensor
    owner: torch.Tensor
    sign: torch.Tensor
    text: torch.Tensor | None = None

    @classmethod
    def gather(
        cls,
        edits: Sequence[Edit],
        names: Sequence[str],
        features: torch.Tensor,
        text: torch.Tensor | None = None,
    ) -> "EditFeatures":
        """Pick the rows that the edits name from the features [N, D] of N different names."""
        row_of = {name: row for row, name in enumerate(names)}
        picks = [
            (row_of[name], query, sign)
            for query, edit in enumerate(edits)
            for sign, part in ((1.0, edit.add), (-1.0, edit.remove))
            for name in part
        ]
        rows, owner, sign = zip(*picks, strict=True) if picks else ((), (), ())
        device = features.device
        return cls(
            features[torch.tensor(rows, dtype=torch.long, device=device)],
            torch.tensor(owner, dtype=torch.long, device=device),
            torch.tensor(sign, dtype=features.dtype, device=device),
            text,
        )

    def total(self, sign: int, like: torch.Tensor) -> torch.Tensor:
        """Sum each query's objects of one sign (+1, -1) to [B, D], shaped like `like`."""
        kept = self.sign == sign
        total = torch.zeros_like(like)
        return total.index_add(0, self.owner[kept], self.objects[kept].to(like.dtype))


@dataclass(frozen=True)
class EncodedEdits:
    """All edits of a split, with each of their names and texts encoded once.

    `encoded[rows]` are the features of the edits in that slice.

    Args:
        edits: Q edits.
        names: N different names, all that the edits hold.
        features: float [N, D], of the names.
        text: float [Q, E], of the edits' texts; None for composers that read names only.
    """

    edits: Sequence[Edit]
    names: Sequence[str]
    features: torch.Tensor
    text: torch.Tensor | None

    def __getitem__(self, rows: slice) -> EditFeatures:
        text = None if self.text is None else self.text[rows]
        return EditFeatures.gather(self.edits[rows], self.names, self.features, text)


class Composer(nn.Module, ABC):
    """Base of all composers.

    Args:
        params: the composer's section of cir.composers.params.

    Attributes:
        text: the text of an edit that the composer reads, a key of TEXTS.
        reads_image: whether the query depends on the reference.
        reads_objects: whether the query depends on the edit's objects, whatever the text.
    """

    reads_image: ClassVar[bool] = True
    reads_objects: ClassVar[bool] = False

    def __init__(self, params: Section):
        super().__init__()
        self.params = params
        self.text: str = getattr(params, "text", "none")

    @classmethod
    def lengths(cls, dim: int, text_dim: int, text: str) -> dict[str, int]:
        """Return the lengths of features that the constructor takes beside the params.

        Args:
            dim, text_dim: lengths of the encoder's image and text features.
            text: the text that the composer reads, a key of TEXTS.
        """
        return {}

    def read(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Return the features [B, E] of the text that the composer reads (see TEXTS)."""
        if self.text in _OF_OBJECTS:
            return _OF_OBJECTS[self.text](image, edit)
        assert edit.text is not None, "this composer reads a text, and none was encoded"
        return edit.text

    @abstractmethod
    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Map image features [B, D], not normalised, and an edit to query features [B, D]."""

    def settings(self) -> dict[str, float | bool | int | str]:
        """Return name, lengths and params, as JSON, from which `rebuild` builds the composer."""
        params = self.params.model_dump()
        return {"name": params.pop("name"), **params}

    def auxiliary_losses(
        self,
        image: torch.Tensor,
        edit: EditFeatures,
        query: torch.Tensor,
        target: torch.Tensor,
        loss: Loss,
    ) -> dict[str, torch.Tensor]:
        """Return the weighted losses, by name, that the method adds to the contrastive loss.

        Args:
            image: float [b, D], features of this process's references.
            edit: the edits of the same queries.
            query: float [b, D], the result of `forward`.
            target: float [b, D], features of the targets.
            loss: the contrastive loss of queries [b, D] and their targets [b, D]; it compares
                the rows of all processes.

        Returns:
            Scalars, each a mean over this process's rows.
        """
        return {}


class LearnedComposer(Composer):
    """Base of composers that depend on the lengths of the features.

    Args:
        params: the composer's section of cir.composers.params.
        dim: D, the length of image features and of queries.
        text_dim: E, the length of the features that `read` returns.
    """

    def __init__(self, params: Section, dim: int, text_dim: int):
        super().__init__(params)
        self._lengths = {"dim": dim, "text_dim": text_dim}

    @classmethod
    def lengths(cls, dim: int, text_dim: int, text: str) -> dict[str, int]:
        """Return both lengths; objects as text lie in the image's space."""
        return {"dim": dim, "text_dim": {"objects": 2 * dim, "difference": dim}.get(text, text_dim)}

    def settings(self) -> dict[str, float | bool | int | str]:
        """Return name, lengths and params, as JSON, from which `rebuild` builds the composer."""
        params = super().settings()
        return {"name": params.pop("name"), **self._lengths, **params}


def require_equal_lengths(dim: int, text_dim: int, composer: str) -> None:
    """Raise UserError unless image and text features can be added."""
    if dim != text_dim:
        raise UserError(
            f"the composer {composer} adds texts to images, so their features must have the same "
            f"length; this encoder's have {text_dim} and {dim}"
        )


def edit_in_words(edit: Edit) -> str:
    """Write a tagged edit as a sentence: "add a red mug and a hat; remove an apple"."""
    parts = [
        f"{verb} " + " and ".join(f"{article(name)} {name}" for name in names)
        for verb, names in (("add", edit.add), ("remove", edit.remove))
        if names
    ]
    return "; ".join(parts)


# The texts that a composer can read: the user's sentence, the tagged edit in words, the features of
# the tagged objects combined by _OF_OBJECTS, or nothing. Only those with a function are encoded.
TEXTS: Mapping[str, Callable[[Edit], str] | None] = {
    "sentence": attrgetter("text"),
    "edit": edit_in_words,
    "objects": None,
    "difference": None,
    "none": None,
}


def _both_sums(image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
    """[Σ added; Σ removed], [B, 2·D]."""
    return torch.cat([edit.total(1, image), edit.total(-1, image)], dim=1)


def _difference(image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
    """Σ added − Σ removed, [B, D]."""
    return edit.total(1, image) - edit.total(-1, image)


_OF_OBJECTS = {"objects": _both_sums, "difference": _difference}


def texts_of(edits: Sequence[Edit], which: str) -> list[str] | None:
    """Return the text of each edit by a key of TEXTS, or None if that text is not encoded."""
    read = TEXTS[which]
    return None if read is None else [read(edit) for edit in edits]


def names_in(edits: Sequence[Edit]) -> list[str]:
    """Return every name in the edits once, in order of appearance."""
    return list(dict.fromkeys(name for edit in edits for name in (*edit.add, *edit.remove)))


def reads_tags(composer: Composer) -> bool:
    """Tell whether the composer reads the tagger's output."""
    return composer.reads_objects or composer.text not in ("sentence", "none")


def made_of(composer: Composer) -> tuple[str, str]:
    """Return the parts of the composer's queries: `query` and `edit` of a ranking Protocol."""
    if reads_tags(composer):
        return ("image and edit" if composer.reads_image else "edit"), "tagged"
    if composer.text == "none":
        return "image", "none"
    return ("image and sentence" if composer.reads_image else "sentence"), "none"
