"""Declare the protocol of a ranking: what was ranked, against what, and which answer counts."""

from dataclasses import asdict, dataclass
from typing import Literal

Gallery = Literal[
    "hard",
    "contest-like",
    "all test images",
    "the whole split",
    "references and targets",
    "the whole splits of all categories",
    "COCO 2017 unlabeled",
]
Query = Literal["image and edit", "image and sentence", "image", "edit", "sentence"]
Text = Literal["the change", "the target's caption"]
Captions = Literal["composeae", "clip4cir", "searle", "separate"]
Sentences = Literal[
    "held-out templates with the true objects",
    "held-out templates with the objects that the tagger reads in the data's sentence",
]


@dataclass(frozen=True)
class Protocol:
    """The protocol of a ranking; it is stored beside every result.

    `gallery`: "hard" holds every test image, so for each query its target, its reference and its
    near misses. "contest-like" holds only targets and references. The other galleries are those of
    published datasets. `query`: what the query vector is made of. `edit`: the edit's objects as the
    tagger reads them, the true ones, or none. `reference_kept`: whether the query's reference stays
    in its gallery. `hit`: which answer counts. `ties`: an image that scores as high as the target
    goes before it.

    `sentences`: how paraphrased queries were asked, None for the data's own sentences. `left_out`:
    queries and images that were left out, and why.

    The other fields are for published datasets and None elsewhere. `dataset` and `split` name the
    query set. `text`: what a query made from captions says; the target's whole caption gives the
    answer away. `captions`: how several captions of a query become its text. `deletion`: how a
    word was deleted to make training pairs.
    """

    gallery: Gallery
    query: Query = "image and edit"
    edit: Literal["tagged", "true", "none"] = "tagged"
    reference_kept: bool = True
    hit: Literal["the target", "any image of its caption", "any of its targets"] = "the target"
    ties: Literal["against the target"] = "against the target"
    similarity: Literal["cosine"] = "cosine"
    sentences: Sentences | None = None
    dataset: str | None = None
    split: str | None = None
    text: Text | None = None
    captions: Captions | None = None
    deletion: Literal["legacy", "fixed"] | None = None
    left_out: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the protocol as it is stored, without fields that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}
