"""Published query_sets answered with vectors, against sorting by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.published.datasets import Query, QuerySet
from cir.published.datasets.circo import CIRCO
from cir.published.datasets.cirr import CIRR
from cir.published.datasets.fashion200k import Fashion200k
from cir.published.datasets.fashioniq import FashionIQ
from cir.published.datasets.mit_states import MITStates
from cir.published.experiment.scoring import INPUTS, answer, averaged, results, said
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.ranking.ranking import rank
from tests.helpers import miniature_datasets as mini

SENTENCES = {"query": "image and sentence", "edit": "none"}


def unit(rng, rows, dim=8):
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def query_set_of(queries, gallery, **protocol):
    images = {name: Path(name) for name in gallery}
    protocol = Protocol("the whole split", dataset="CIRCO", **protocol)
    return QuerySet("a query set", tuple(queries), tuple(gallery), images, protocol)


def random_query_set(rng, kept, labelled=True):
    gallery = [f"g{k}" for k in range(40)]
    queries = []
    for number in range(20):
        own, *others = (gallery[k] for k in rng.permutation(40)[:9])
        hits = others[: rng.integers(1, 4)] if labelled else []
        members = (own, *others[:5])
        target = hits[0] if labelled else None
        queries.append(Query(f"q{number}", own, ("x",), frozenset(hits), target, members))
    return query_set_of(queries, gallery, reference_kept=kept)


def literal(query_set, queries, gallery):
    """Sort every score with its name; a hit comes after what ties with it."""
    for query, vector in zip(query_set.queries, queries, strict=True):
        scored = [
            (-float(vector @ image), name in query.hits, place, name)
            for place, (name, image) in enumerate(zip(query_set.gallery, gallery, strict=True))
            if query_set.protocol.reference_kept or name != query.reference
        ]
        names = [name for *_, name in sorted(scored)]
        yield (
            names,
            sorted(1 + names.index(hit) for hit in query.hits),
            [name for name in names if name in query.members and name != query.reference],
        )


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("block", [1, 7, 64])
def test_answers_are_those_of_sorting_everything(kept, ties, block):
    rng = np.random.default_rng(0)
    query_set = random_query_set(rng, kept)
    queries, gallery = unit(rng, 20), unit(rng, 40)
    if ties:  # few different vectors on the axes, so that scores are exact
        queries, gallery = np.eye(3)[rng.integers(0, 3, 20)], np.eye(3)[rng.integers(0, 3, 40)]
    answers = answer(query_set, queries, gallery, k=50, block=block)
    for number, (names, hit_ranks, members) in enumerate(literal(query_set, queries, gallery)):
        assert list(answers.top[number]) == names
        assert answers.hit_ranks[number].tolist() == hit_ranks
        assert list(answers.members[number]) == members
        target = query_set.queries[number].target
        assert answers.target_ranks[number] == 1 + names.index(target)


@pytest.mark.parametrize("kept", [True, False])
def test_target_ranks_are_those_of_the_pipelines_ranking(kept):
    rng = np.random.default_rng(1)
    query_set = random_query_set(rng, kept)
    query_set = query_set_of(
        [
            Query(q.id, q.reference, q.texts, frozenset({q.target}), q.target)
            for q in query_set.queries
        ],
        query_set.gallery,
        reference_kept=kept,
    )
    queries, gallery = unit(rng, 20), unit(rng, 40)
    row_of = {name: row for row, name in enumerate(query_set.gallery)}
    expected = rank(
        queries,
        gallery,
        [q.id for q in query_set.queries],
        query_set.gallery,
        np.array([row_of[q.target] for q in query_set.queries]),
        k=10,
        excluded=None if kept else np.array([row_of[q.reference] for q in query_set.queries]),
    )
    answers = answer(query_set, queries, gallery, k=10)
    assert list(answers.target_ranks) == expected.target_ranks.tolist()
    assert [list(top) for top in answers.top] == [expected.top_ids(k) for k in range(20)]


def test_one_vector_for_all_images_finds_nothing():
    rng = np.random.default_rng(2)
    query_set = random_query_set(rng, kept=True)
    same = np.ones((60, 4), np.float32) / 2
    answers = answer(query_set, same[:20], same[:40])
    for query, hit_ranks in zip(query_set.queries, answers.hit_ranks, strict=True):
        count = len(query.hits)
        assert hit_ranks.tolist() == list(range(41 - count, 41))


def test_vectors_of_another_length_are_refused():
    query_set = random_query_set(np.random.default_rng(3), kept=True)
    vectors = unit(np.random.default_rng(3), 60)
    with pytest.raises(AssertionError, match="another length"):
        answer(query_set, vectors[:20] * 2, vectors[20:])
    with pytest.raises(AssertionError):
        answer(query_set, vectors[:20], vectors[:39])


def test_the_texts_of_a_query_are_averaged():
    queries = [Query("a", "x", ("1", "2"), frozenset("y")), Query("b", "x", ("3",), frozenset("y"))]
    query_set = query_set_of(queries, ["x", "y"])
    vectors = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(averaged(query_set, vectors), [[half, half], [0, 1]], rtol=1e-6)


def perfect(query_set):
    """Query vectors that are their target's (or first hit's) own vector."""
    vectors = np.eye(len(query_set.gallery), dtype=np.float32)
    place = {name: row for row, name in enumerate(query_set.gallery)}
    chosen = [place[q.target or min(q.hits)] for q in query_set.queries]
    return vectors[chosen], vectors


def test_perfect_vectors_find_everything_everywhere(tmp_path):
    datasets = [
        MITStates(mini.mit_states(tmp_path / "m")),
        Fashion200k(mini.fashion200k(tmp_path / "2")),
        FashionIQ(mini.fashioniq(tmp_path / "f")),
        CIRR(mini.cirr(tmp_path / "r")),
        CIRCO(mini.circo(tmp_path / "o")),
    ]
    for dataset in datasets:
        split = "test" if dataset.title in ("MIT-States", "Fashion200k") else "val"
        query_sets = dataset.query_sets(split)
        rows = results(query_sets, [answer(b, *perfect(b)) for b in query_sets], **SENTENCES)
        assert json.loads(json.dumps(rows)) == rows
        for row in rows:
            assert row["protocol"]["query"] == "image and sentence"
            for name, value in row.items():
                if name.startswith("recall"):
                    assert value == 1.0, (row["what"], name)
        if dataset.title == "FashionIQ":
            by_input = [dict.fromkeys(INPUTS, answer(b, *perfect(b))) for b in query_sets]
            given = [answers["both"] for answers in by_input]
            average = results(query_sets, given, **SENTENCES, by_input=by_input)[-1]
            assert (average["composition_gap"], average["image_alone"]["mean"]) == (0.0, 1.0)
            assert [row["what"] for row in rows][-1] == "FashionIQ, average of 3 categories"
            assert rows[-1]["mean"] == 1.0
            assert rows[-1]["protocol"]["split"] == "val dress, val shirt, val toptee"
        if dataset.title == "CIRR":
            assert rows[0]["average"] == 1.0
        if dataset.title == "CIRCO":
            assert rows[0]["mAP@10 negation"] < 1.0  # only one of its answers comes first


def test_cirr_takes_the_reference_out(tmp_path):
    """A query that is its reference's vector fails with it, and succeeds next without."""
    root = mini.cirr(tmp_path)
    for kept, expected in ((True, 2), (False, 1)):
        (val,) = CIRR(root, reference_kept=kept).query_sets("val")
        place = {name: row for row, name in enumerate(val.gallery)}
        gallery = np.eye(12, dtype=np.float32)
        queries = np.array(
            [
                0.8 * gallery[place[q.reference]] + 0.6 * gallery[place[q.target]]
                for q in val.queries
            ]
        )
        answers = answer(val, queries, gallery)
        assert answers.target_ranks == (expected,) * 4
        assert all(q.reference not in m for q, m in zip(val.queries, answers.members, strict=True))
        (row,) = results([val], [answers], **SENTENCES)
        assert row["recall_subset@1"] == 1.0
        assert row["protocol"]["reference_kept"] is kept


@pytest.mark.parametrize(
    ("make", "kind", "split"),
    [(mini.fashioniq, FashionIQ, "test"), (mini.cirr, CIRR, "test1"), (mini.circo, CIRCO, "test")],
)
def test_an_unlabelled_split_cannot_be_scored(tmp_path, make, kind, split):
    query_set = kind(make(tmp_path)).query_sets(split)[0]
    vectors = np.eye(len(query_set.gallery), dtype=np.float32)
    answers = answer(query_set, vectors[: len(query_set.queries)], vectors)
    count = len(query_set.queries)
    with pytest.raises(UserError, match=rf"{split}.* cannot be scored: .* all its {count} queries"):
        results([query_set], [answers], **SENTENCES)


def test_the_average_over_categories_says_what_was_left_out(tmp_path):
    root = mini.fashioniq(tmp_path)
    for name in ("dval1", "tval4"):
        next(root.glob(f"images/{name}.*")).unlink()
    query_sets = FashionIQ(root).query_sets("val", "leave out")
    rows = results(query_sets, [answer(b, *perfect(b)) for b in query_sets], **SENTENCES)
    assert rows[-1]["protocol"]["left_out"] == (
        "val dress: 2 of 3 queries and 1 of 6 gallery images; "
        "val toptee: 0 of 3 queries and 1 of 6 gallery images"
    )
    assert "left_out" not in rows[1]["protocol"]


def test_each_input_alone_and_the_composition_gap_by_hand():
    """Three queries for g3: both inputs find it for two, the image alone for one of these."""
    queries = [Query(f"q{k}", f"g{k}", ("x",), frozenset({"g3"}), "g3") for k in range(3)]
    query_set = query_set_of(queries, ["g0", "g1", "g2", "g3"])
    gallery = np.eye(4, dtype=np.float32)
    found = {
        "both": gallery[[3, 3, 2]],
        "edit_alone": np.zeros((3, 4), np.float32),  # nothing was read in the sentences
        "image_alone": gallery[[3, 1, 2]],
    }
    by_input = {name: answer(query_set, vectors, gallery) for name, vectors in found.items()}
    (row,) = results([query_set], [by_input["both"]], **SENTENCES, by_input=[by_input])
    assert by_input["edit_alone"].target_ranks == (4, 4, 4)  # ties count against us
    assert row["composition_gap"] == pytest.approx(1 / 3)
    at_1, at_10 = row["composition"]
    assert (at_1["k"], at_10["k"]) == (1, 10)
    assert at_1["solved"] == pytest.approx(2 / 3)
    assert (at_1["edit_shortcuts"], at_1["image_shortcuts"]) == (0.0, pytest.approx(1 / 3))
    assert (at_10["solved"], at_10["gap"]) == (1.0, 0.0)
    assert row["image_alone"]["mAP@5"] == pytest.approx((1 + 1 / 4 + 1 / 4) / 3)
    assert json.loads(json.dumps(row)) == row
    assert "recall@5 100.00% (edit alone 100.00%, image alone 100.00%)" in said(row)


def test_the_mean_of_zeros_is_zeros():
    queries = [Query("a", "x", ("1", "2"), frozenset("y"))]
    query_set = query_set_of(queries, ["x", "y"])
    assert averaged(query_set, np.zeros((2, 3), np.float32)).tolist() == [[0.0, 0.0, 0.0]]


def test_a_row_as_a_line():
    row = {"what": "CIRCO val", "queries": 1220, "gallery_size": 5, "mAP@5": 0.125, "mean": 1.0}
    assert said(row) == "CIRCO val: mAP@5 12.50%, mean 100.00% of 1,220 queries"
