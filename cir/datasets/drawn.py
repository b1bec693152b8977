"""Scenes that the project draws itself, as train, val and test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cir.datasets import scenes
from cir.edits.reading.templates import Template
from cir.images.splitting import SPLITS, Split


@dataclass(frozen=True)
class Plan:
    """How much to draw, and what to hold out.

    `novel_share` of the names never appear in train or val; `novel_queries` of the test queries
    have one of them in their edit. A training query carries up to `train_near_misses` images
    that answer it almost; val and test queries always carry all of theirs.
    """

    train_queries: int
    val_queries: int
    test_queries: int
    novel_share: float
    novel_queries: int
    train_near_misses: int
    image_size: int


def load(
    plan: Plan, sentences: Mapping[str, Sequence[Template]], seed: int, workers: int = 1
) -> dict[str, Split]:
    """Sample the queries now; the pictures are drawn, by `workers` processes, as rows are taken.

    The galleries of val and test are hard: they hold every query's near misses, and one image
    alone shows a query's target set. Train shows no set of objects that a reference or target of
    val or test shows, nor val one of test's. `sentences` gives the templates of each part.

    Raises UserError if there are too few names or templates for the plan.
    """
    draws = [np.random.default_rng([seed, number]) for number in range(4)]
    known, novel = scenes.split_names(scenes.all_names(), plan.novel_share, draws[3])
    test = scenes.sample_hard_gallery(
        plan.test_queries,
        known,
        draws[2],
        sentences["test"],
        novel=novel,
        novel_share=plan.novel_queries / plan.test_queries,
    )
    held = scenes.query_sets(test)
    val = scenes.sample_hard_gallery(
        plan.val_queries, known, draws[1], sentences["val"], avoid=held
    )
    held |= scenes.query_sets(val)
    train = scenes.sample_triplets(
        plan.train_queries,
        known,
        draws[0],
        sentences["train"],
        avoid=held,
        near_misses_each=plan.train_near_misses,
    )
    splits = {}
    for part, sampled in zip(SPLITS, (train, val, test), strict=True):
        shown, triplets = scenes.name_images(sampled, part)
        rows = scenes.draw_many(shown, plan.image_size, seed, workers)
        splits[part] = Split(len(shown), rows, triplets, _info(known, novel, triplets, part))
    return splits


def _info(known: list[str], novel: list[str], triplets: Sequence, part: str) -> dict:
    info: dict = {"source": "scenes", "names": known}
    if part == "test":
        info["novel_names"] = novel
        info["novel_queries"] = sum(triplet.novel for triplet in triplets)
    return info
