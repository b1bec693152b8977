"""Datasets that come with a training and a test part, made into the four parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cir.classes.datasets import division, rules
from cir.classes.datasets.base import ClassParts, Findings, Images

GivenGallery = Literal["train", "test"]


@dataclass(frozen=True)
class Given:
    """How the given parts are used.

    Gallery "train": the test images are the queries, and all training images as given, those
    set apart for validation too, are the gallery; these were not trained on, so that
    `gallery_is_training`, true here, holds for all the others. Gallery "test": the test images
    are divided, `query_share` of each class being queries. `val` is the share of each class's
    training images that validates where no part for that is given.
    """

    gallery: GivenGallery
    val: float
    query_share: float

    def parts(
        self, source: str, pools: Mapping[str, Images], findings: Findings, seed: int
    ) -> ClassParts:
        """The parts of the pools "train", "test" and, where it is given, "val"."""
        pools = rules.of_one_class_each(pools, findings)
        parts = {
            "train": rules.of_several_images(pools["train"], "in train", rules.PAIRS, findings)
        }
        if "val" in pools:
            parts["val"] = rules.of_several_images(
                pools["val"], "in val", rules.EACH_BY_OTHERS, findings
            )
        else:
            shares = {"val": self.val}
            parts = division.by_images(parts["train"], shares, seed)
            division.note_absences(parts, shares, findings)
        if self.gallery == "train":
            parts |= {"query": pools["test"], "gallery": pools["train"]}
        else:
            test = rules.of_several_images(pools["test"], "in test", rules.BOTH, findings)
            parts |= division.queries_and_gallery(test, self.query_share, seed)
        return rules.settled(source, parts, findings, self.gallery == "train")
