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


@dataclass(frozen=True)
class Protocol:
    """What was ranked against what. It is stored beside every result.

    `gallery`: "hard" holds every test image, so for each query its target, its reference and its
    near misses; "contest-like" holds the targets and references only; the others are those of
    the published benchmarks. `query`: what the query vector is made of. `edit`: its objects as
    the tagger reads them from the sentence, or the true ones, or none. `reference_kept`: whether
    a query's own reference stays in its gallery. `hit`: the answer that counts. `ties`: an image
    that scores as high as the target goes before it.

    The rest is for published benchmarks and None elsewhere. `dataset` and `split` name them.
    `text`: what a query says, where it was made from captions; the whole caption of the target
    gives the answer away. `captions`: how several captions of a query become its text.
    `deletion`: how a word was deleted where training pairs came from. `left_out`: what is not in
    the measurement because image files were absent.
    """

    gallery: Gallery
    query: Query = "image and edit"
    edit: Literal["tagged", "true", "none"] = "tagged"
    reference_kept: bool = True
    hit: Literal["the target", "any image of its caption", "any of its targets"] = "the target"
    ties: Literal["against the target"] = "against the target"
    similarity: Literal["cosine"] = "cosine"
    dataset: str | None = None
    split: str | None = None
    text: Text | None = None
    captions: Captions | None = None
    deletion: Literal["legacy", "fixed"] | None = None
    left_out: str | None = None

    def to_dict(self) -> dict[str, object]:
        """The protocol as it is stored; what does not concern a result has no entry."""
        return {name: value for name, value in asdict(self).items() if value is not None}
