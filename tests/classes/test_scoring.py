"""Class-level retrieval measured in several ways, each in a row of its own."""

from dataclasses import replace

import numpy as np
import pytest

from cir.classes.scoring.params import AlphaWeighting, Averaging, Reranking, ScoreClasses
from cir.classes.scoring.results import ClassProtocol
from cir.classes.scoring.scoring import (
    Part,
    Vectors,
    measure,
    protocol_of,
    result,
)
from cir.core.errors import UserError
from cir.retrieval.ranking.ranking import HitRanking, cosine, rank_by_class

CLASSES = ("cat", "dog", "fish", "bird")
PROTOCOL = ClassProtocol(gallery="held-out images", classes="never trained on", vectors="embedder")
JOINT, ALONE = "joint query-gallery graph", "gallery-only graph"
EVERYTHING = ScoreClasses(
    average_expansion=Averaging(neighbours=3),
    alpha_expansion=AlphaWeighting(neighbours=4, alpha=3.0),
    reranking=Reranking(k1=5, k2=2, weight=0.3, graphs=[JOINT, ALONE]),
    resamples=100,
    answers=10,
    rows=2,
)


def changed(params, **values):
    return params.model_copy(update=values)


NOTHING = changed(EVERYTHING, average_expansion=None, alpha_expansion=None, reranking=None)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def part(kind, count):
    ids = tuple(f"{kind}/{name}/{number}" for name in CLASSES for number in range(count))
    return Part(ids, tuple(name for name in CLASSES for _ in range(count)))


def vectors_of(queries, gallery, noise, seed=0):
    rng = np.random.default_rng(seed)
    centres = dict(zip(CLASSES, rng.standard_normal((4, 8)), strict=True))

    def draw(own):
        around = np.array([centres[name] for name in own.classes])
        return unit(around + noise * rng.standard_normal(around.shape))

    return Vectors(draw(queries), draw(gallery))


QUERIES, GALLERY = part("query", 3), part("gallery", 6)
VECTORS = {
    "embedder": vectors_of(QUERIES, GALLERY, 1.0),
    "flip-averaged": vectors_of(QUERIES, GALLERY, 0.9, seed=1),
    "colour histograms": vectors_of(QUERIES, GALLERY, 3.0, seed=2),
}


def measured(params=EVERYTHING, vectors=VECTORS, queries=QUERIES, k=10):
    return list(measure(vectors, queries, GALLERY, PROTOCOL, params, k))


def same_ranking(one, other):
    return (
        np.array_equal(one.top_indices, other.top_indices)
        and np.array_equal(one.top_scores, other.top_scores)
        and all(np.array_equal(*pair) for pair in zip(one.hit_ranks, other.hit_ranks, strict=True))
        and one.gallery_size == other.gallery_size
    )


def test_the_rows_stand_in_order_with_their_protocols():
    found = measured()
    assert [way.what for way in found] == [
        "plain",
        "flip-averaged",
        "colour histograms",
        "average query expansion",
        "α query expansion",
        f"re-ranked, {JOINT}",
        f"re-ranked, {ALONE}",
    ]
    assert found[0].protocol == PROTOCOL
    reranked = "k-reciprocal re-ranking with k1 5, k2 2, weight 0.3"
    changes = [
        {},
        {"vectors": "flip-averaged"},
        {"vectors": "colour histograms"},
        {"refinement": "query expansion with neighbours 3, alpha 0"},
        {"refinement": "query expansion with neighbours 4, alpha 3"},
        {"refinement": reranked, "graph": JOINT},
        {"refinement": reranked, "graph": ALONE},
    ]
    assert [way.protocol for way in found] == [PROTOCOL.model_copy(update=own) for own in changes]


NO_GRAPH = changed(EVERYTHING.reranking, graphs=[])
RERANKED = (f"re-ranked, {JOINT}", f"re-ranked, {ALONE}")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"average_expansion": None}, ["average query expansion"]),
        ({"alpha_expansion": None}, ["α query expansion"]),
        ({"reranking": None}, RERANKED),
        ({"reranking": NO_GRAPH}, RERANKED),
    ],
)
def test_what_is_null_has_no_row(changes, names):
    found = measured(changed(EVERYTHING, **changes))
    everything = [way.what for way in measured()]
    assert [way.what for way in found] == [name for name in everything if name not in names]


def test_nothing_else_changes_the_plain_row():
    copies = {name: (own.queries.copy(), own.gallery.copy()) for name, own in VECTORS.items()}
    (alone,) = measured(NOTHING, {"embedder": VECTORS["embedder"]})
    assert same_ranking(measured()[0].ranking, alone.ranking)
    own = VECTORS["embedder"]
    expected = rank_by_class(cosine(own.queries, own.gallery), QUERIES.classes, GALLERY.classes)
    assert same_ranking(alone.ranking, expected)
    for name, (queries, gallery) in copies.items():
        np.testing.assert_array_equal(VECTORS[name].queries, queries)
        np.testing.assert_array_equal(VECTORS[name].gallery, gallery)


def test_other_vectors_are_ranked_by_themselves():
    for name in ("flip-averaged", "colour histograms"):
        (way,) = [way for way in measured() if way.what == name]
        (alone,) = measured(NOTHING, {"embedder": VECTORS[name]})
        assert same_ranking(way.ranking, alone.ranking)


def test_expansion_query_by_query():
    own = VECTORS["embedder"]
    for place, (count, alpha) in ((3, (3, 0.0)), (4, (4, 3.0))):
        moved = []
        for query in own.queries.astype(np.float64):
            similar = own.gallery @ query
            near = np.argsort(-similar)[:count]
            moved.append(query + sum(max(similar[n], 0) ** alpha * own.gallery[n] for n in near))
        expected = rank_by_class(
            cosine(unit(np.array(moved)), own.gallery), QUERIES.classes, GALLERY.classes
        )
        found = measured()[place].ranking
        np.testing.assert_array_equal(found.top_indices, expected.top_indices)
        np.testing.assert_allclose(found.top_scores, expected.top_scores, atol=1e-5)


def test_expansion_by_more_neighbours_than_there_are_tells_how_many_it_took():
    found = measured(changed(NOTHING, average_expansion=Averaging(neighbours=50)))[-1]
    assert found.protocol.refinement == "query expansion with neighbours 24, alpha 0"
    whole = measured(changed(NOTHING, average_expansion=Averaging(neighbours=24)))[-1]
    assert same_ranking(found.ranking, whole.ranking)


def test_only_the_joint_graph_lets_an_answer_depend_on_other_queries():
    own = VECTORS["embedder"]
    by_graphs = changed(EVERYTHING, average_expansion=None, alpha_expansion=None)
    depends = {JOINT: False, ALONE: False}
    for query in range(len(QUERIES.ids)):
        one = Part((QUERIES.ids[query],), (QUERIES.classes[query],))
        vectors = {"embedder": Vectors(own.queries[query : query + 1], own.gallery)}
        for way in measured(by_graphs, vectors, one)[1:]:
            (together,) = [w for w in measured() if w.what == way.what]
            near = np.allclose(way.ranking.top_scores[0], together.ranking.top_scores[query])
            depends[way.protocol.graph] |= not near
    assert depends == {JOINT: True, ALONE: False}


@pytest.mark.parametrize("graph", [JOINT, ALONE])
def test_re_ranking_by_the_plain_distance_alone_is_the_plain_ranking(graph):
    reranking = Reranking(k1=5, k2=2, weight=1.0, graphs=[graph])
    plain, *_, reranked = measured(changed(NOTHING, reranking=reranking))
    np.testing.assert_array_equal(reranked.ranking.top_indices, plain.ranking.top_indices)


def test_k1_beyond_the_gallery_is_a_sentence():
    reranking = Reranking(k1=24, k2=2, weight=0.3, graphs=[ALONE])
    with pytest.raises(UserError, match="k1 of re-ranking is 24: expected less than the 24 images"):
        measured(changed(NOTHING, reranking=reranking))


RANKING = HitRanking(
    np.array([[0, 1], [0, 1]]),
    np.array([[0.9, 0.8], [0.9, 0.8]], np.float32),
    (np.array([1, 3]), np.array([2, 4])),
    (np.array([1, 1]), np.array([1, 1])),
    4,
)


def test_a_row_by_hand():
    way = measured(NOTHING)[0]
    found = result(replace(way, ranking=RANKING), seed=0, resamples=2000)
    precision = [(1 + 2 / 3) / 2, (1 / 2 + 2 / 4) / 2]
    assert found.recall_at_1 == 0.5
    assert (found.recall_at_5, found.recall_at_10) == (1.0, 1.0)
    assert found.map == pytest.approx(np.mean(precision))
    assert found.map_at_r == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert (found.what, found.queries, found.gallery_size) == ("plain", 2, 4)
    # Of two queries, a resample has either twice or both: the interval reaches from one to one.
    assert found.recall_at_1_interval == pytest.approx((0.0, 1.0))
    assert found.map_interval == pytest.approx((precision[1], precision[0]))
    assert found.protocol == PROTOCOL


@pytest.mark.parametrize(
    ("trained", "said"),
    [(0, "never trained on"), (2, "some trained on"), (3, "trained on")],
)
def test_the_protocol_is_what_the_data_stage_says(trained, said):
    info = {
        "classes": {"a": 1, "b": 1, "c": 2},
        "classes_in_training": trained,
        "left_out": {"classes of one image": 2, "copies": 1},
    }
    found = protocol_of(info, {"gallery_is_training": False})
    assert (found.classes, found.gallery) == (said, "held-out images")
    assert found.left_out == "2 classes of one image, 1 copies"
    other = protocol_of({**info, "left_out": {}}, {"gallery_is_training": True})
    assert (other.left_out, other.gallery) == (None, "training images")
