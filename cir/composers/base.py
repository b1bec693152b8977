"""What every composer takes and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

import torch
from torch import nn

from cir.core.english import article
from cir.core.errors import UserError
from cir.core.records import Edit

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class EditFeatures:
    """The encoded edits of B queries, which name P objects in all.

    Args:
        objects: float [P, D], one row for each object named, not normalised.
        owner: int64 [P], the query (0 … B-1) that names it.
        sign: float [P], +1 where the object is added and -1 where it is removed.
        text: float [B, E], one row for the text of each edit, not normalised; None for composers
            that read names only.
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
        """The sum of each query's objects of one sign (+1, -1), [B, D], shaped like `like`."""
        kept = self.sign == sign
        total = torch.zeros_like(like)
        return total.index_add(0, self.owner[kept], self.objects[kept].to(like.dtype))


class Composer(nn.Module, ABC):
    """Base of all composers.

    Args:
        settings: the constructor's arguments, from which `settings` builds the composer again.
            One called `text` says which text of an edit the composer reads, a key of TEXTS.

    Attributes:
        reads_image: whether the query depends on the reference.
        reads_objects: whether it depends on the edit's objects, whatever the text.
    """

    reads_image: ClassVar[bool] = True
    reads_objects: ClassVar[bool] = False

    def __init__(self, **settings: float | bool | int | str):
        super().__init__()
        self._settings = settings
        self.text = settings.get("text", "none")
        if self.text not in TEXTS:
            raise UserError(f'composer.text must be one of {", ".join(TEXTS)}, got "{self.text}"')

    @classmethod
    def sizes(cls, dim: int, text_dim: int, text: str) -> dict[str, int]:
        """What the constructor must be told of the lengths of what it reads.

        Args:
            dim, text_dim: lengths of an encoder's image and text features.
            text: the kind of text that the composer reads.
        """
        return {}

    def read(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """What the composer takes for the text, [B, E]: see TEXTS."""
        if self.text in OF_OBJECTS:
            return OF_OBJECTS[self.text](image, edit)
        assert edit.text is not None, "this composer reads a text, and none was encoded"
        return edit.text

    @abstractmethod
    def forward(self, image: torch.Tensor, edit: EditFeatures) -> torch.Tensor:
        """Image features [B, D], not normalised, and edit → query features [B, D]."""

    def settings(self) -> dict[str, float | bool | int | str]:
        """The constructor's arguments, as JSON, from which the same composer is built again."""
        return dict(self._settings)

    def auxiliary_losses(
        self,
        image: torch.Tensor,
        edit: EditFeatures,
        query: torch.Tensor,
        target: torch.Tensor,
        loss: Loss,
    ) -> dict[str, torch.Tensor]:
        """Losses that the method adds to the contrastive one, by name and with their weights.

        Args:
            image: float [b, D], features of this process's references.
            edit: of the same queries.
            query: float [b, D], what `forward` made of them.
            target: float [b, D], features of their targets.
            loss: the contrastive loss, of queries [b, D] and their targets [b, D]; it compares
                the rows of all processes.

        Returns:
            Scalars, each a mean over this process's rows.
        """
        return {}


class LearnedComposer(Composer):
    """Base of composers with weights, whose shapes follow those of the features.

    Args:
        dim: D, the length of image features and of queries.
        text_dim: E, the length of what is read as text.
        settings: see Composer.
    """

    def __init__(self, dim: int, text_dim: int, **settings: float | bool | int | str):
        super().__init__(dim=dim, text_dim=text_dim, **settings)

    @classmethod
    def sizes(cls, dim: int, text_dim: int, text: str) -> dict[str, int]:
        """Both lengths; that of the objects' features depends on the image's."""
        return {"dim": dim, "text_dim": {"objects": 2 * dim, "difference": dim}.get(text, text_dim)}


def edit_in_words(edit: Edit) -> str:
    """The tagged edit as a sentence: "add a red mug and a hat; remove an apple"."""
    parts = [
        f"{verb} " + " and ".join(f"{article(name)} {name}" for name in names)
        for verb, names in (("add", edit.add), ("remove", edit.remove))
        if names
    ]
    return "; ".join(parts)


# What a composer can take for the text: features of the whole sentence; of the tagged edit in
# words; of the objects that the tagger found, put together by OF_OBJECTS; or nothing.
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


OF_OBJECTS = {"objects": _both_sums, "difference": _difference}


def texts_of(edits: Sequence[Edit], which: str) -> list[str] | None:
    """The text of each edit, by a key of TEXTS; None where no text is encoded."""
    read = TEXTS[which]
    return None if read is None else [read(edit) for edit in edits]


def one_space(dim: int, text_dim: int, composer: str) -> None:
    """Raise UserError unless image and text features can be added to one another."""
    if dim != text_dim:
        raise UserError(
            f"the composer {composer} adds texts to images, so their features must be of one "
            f"length; this encoder's have {text_dim} and {dim}"
        )


def names_in(edits: Sequence[Edit]) -> list[str]:
    """Every name in the edits once, in order of appearance, so that each is encoded once."""
    return list(dict.fromkeys(name for edit in edits for name in (*edit.add, *edit.remove)))
