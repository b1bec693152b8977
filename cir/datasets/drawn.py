"""Triplets of scenes that the project draws itself."""

from collections.abc import Mapping, Sequence

import numpy as np

from cir.datasets import scenes
from cir.datasets.params import ScenesData
from cir.edits.reading.templates import Template
from cir.images.splitting import SPLITS, Split


def load(
    data: ScenesData, sentences: Mapping[str, Sequence[Template]], seed: int
) -> dict[str, Split]:
    """Sample the queries of train, val and test; draw their images when the rows are read.

    The galleries of val and test are hard: they hold the near misses of every query, and only one
    image shows the target set of a query. No set of objects in a reference or target of val or
    test occurs in train, and none of test occurs in val. `sentences` gives the templates of each
    split.

    Raises UserError if there are too few names or templates.
    """
    draws = [np.random.default_rng([seed, number]) for number in range(4)]
    known, novel = scenes.split_names(scenes.all_names(), data.novel_share, draws[3])
    test = scenes.sample_hard_gallery(
        data.test_queries,
        known,
        draws[2],
        sentences["test"],
        novel=novel,
        novel_share=data.novel_queries / data.test_queries,
    )
    held = scenes.query_sets(test)
    val = scenes.sample_hard_gallery(
        data.val_queries, known, draws[1], sentences["val"], avoid=held
    )
    held |= scenes.query_sets(val)
    train = scenes.sample_triplets(
        data.train_queries,
        known,
        draws[0],
        sentences["train"],
        avoid=held,
        near_misses_each=data.train_near_misses,
    )
    splits = {}
    for part, sampled in zip(SPLITS, (train, val, test), strict=True):
        shown, triplets = scenes.name_images(sampled, part)
        rows = scenes.draw_many(shown, data.image_size, seed, data.processes())
        splits[part] = Split(len(shown), rows, triplets, _info(known, novel, triplets, part))
    return splits


def _info(known: list[str], novel: list[str], triplets: Sequence, part: str) -> dict:
    info: dict = {"source": "scenes", "names": known}
    if part == "test":
        info["novel_names"] = novel
        info["novel_queries"] = sum(triplet.novel for triplet in triplets)
    return info
