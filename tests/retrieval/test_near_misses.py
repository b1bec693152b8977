"""Which images are near misses, and how many of them rank before the target."""

import numpy as np
import pytest

from cir.core.records import Triplet
from cir.retrieval.measuring import Measure
from cir.retrieval.near_misses import images_ahead, measure_near_misses, near_misses
from cir.retrieval.ranking.embedding import Embeddings
from cir.retrieval.task import Task

# Three queries share the reference r; one asks for r itself, and one has a reference of its own.
PLAIN = [
    Triplet("q0", "r", "x", "a"),
    Triplet("q1", "r", "x", "b"),
    Triplet("q2", "r", "x", "r"),
    Triplet("q3", "s", "x", "a"),
]


def sets(found):
    return {what: [set(own) for own in of] for what, of in found.items()}


def test_without_named_near_misses_the_reference_and_its_other_targets_are_near_misses():
    assert sets(near_misses(PLAIN, "abrs")) == {
        "near misses": [{"r", "b"}, {"r", "a"}, {"a", "b"}, {"s"}],
        "the reference": [{"r"}, {"r"}, set(), {"s"}],
        "other targets of the reference": [{"b"}, {"a"}, {"a", "b"}, set()],
    }


def test_named_near_misses_go_before_and_only_those_in_the_gallery_count():
    named = [Triplet("q0", "r", "x", "a", near_misses=("m", "n", "a")), PLAIN[3]]
    found = sets(near_misses(named, "arsm"))
    assert found["near misses"] == [{"m"}, set()]
    assert found["the reference"] == [{"r"}, {"s"}]


def random_task(rng, count=60):
    """Queries that share references, in a gallery with many equal vectors."""
    vectors = np.eye(6, dtype=np.float32)[rng.integers(0, 6, 30)]
    ids = tuple(f"g{number}" for number in range(30))
    pick = rng.integers(0, 30, (count, 2))
    triplets = [Triplet(f"q{n}", ids[r % 7], "x", ids[t]) for n, (r, t) in enumerate(pick)]
    queries = rng.standard_normal((count, 6)).astype(np.float32)
    return Task(triplets, Embeddings(ids, vectors, "f")), queries


def literal(task, queries):
    """Count by looking at one near miss after the other."""
    row_of = {name: row for row, name in enumerate(task.embeddings.ids)}
    for triplet, query in zip(task.triplets, queries, strict=True):
        near = {triplet.reference}
        near |= {t.target for t in task.triplets if t.reference == triplet.reference}
        near.discard(triplet.target)
        score = {name: float(task.embeddings.vectors[row_of[name]] @ query) for name in row_of}
        yield sum(score[name] >= score[triplet.target] for name in near)


def test_counts_are_those_of_looking_at_each_near_miss():
    task, queries = random_task(np.random.default_rng(0))
    images = near_misses(task.triplets, task.embeddings.ids)["near misses"]
    expected = list(literal(task, queries))
    assert images_ahead(task, queries, images).tolist() == expected
    assert (task.rank(queries).target_ranks > np.array(expected)).all()


def test_figures_count_the_queries_that_have_near_misses():
    task, queries = random_task(np.random.default_rng(1))
    rows = {row.what: row for row in measure_near_misses(task, queries, Measure(0))}
    counts = np.array(list(literal(task, queries)))
    row = rows["near misses"]
    assert row.queries == 60 - sum(
        {t.target for t in task.triplets if t.reference == one.reference} | {one.reference}
        == {one.target}
        for one in task.triplets
    )
    assert row.any_ahead == pytest.approx((counts > 0).sum() / row.queries)
    assert row.mean_ahead == pytest.approx(counts.sum() / row.queries)
    assert row.any_ahead_interval95[0] < row.any_ahead < row.any_ahead_interval95[1]
    assert rows["the reference"].images == sum(t.reference != t.target for t in task.triplets)


def test_a_model_that_sees_no_difference_has_every_near_miss_ahead():
    task, _ = random_task(np.random.default_rng(2))
    same = Task(task.triplets, Embeddings(task.embeddings.ids, np.ones((30, 6), np.float32), "f"))
    for row in measure_near_misses(same, np.ones((60, 6), np.float32), Measure(0)):
        assert row.any_ahead == 1.0
        assert row.mean_ahead == pytest.approx(row.images / row.queries)
