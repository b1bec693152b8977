"""Neighbours, query expansion and re-ranking: by hand, and against slow versions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cir.core.errors import UserError
from cir.retrieval.ranking.highest import highest
from cir.retrieval.refine import GalleryGraph, JointGraph, Neighbours, Settings, expand, nearest
from cir.retrieval.refine.k_reciprocal import own_first
from speed.dense_reranking import dense_gallery_only, dense_joint


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(seed, rows, dim=24, centres=6, noise=1.0):
    around = np.random.default_rng(100).standard_normal((centres, dim))
    rng = np.random.default_rng(seed)
    spread = noise * rng.standard_normal((rows, dim))
    return unit(around[rng.integers(0, centres, rows)] + spread)


def signs(seed, rows, dim=16):
    """Vectors of length one with exact products, so that equal similarities are equal."""
    few = np.random.default_rng(seed).choice([-1.0, 1.0], (max(2, rows // 2), dim))
    few[:, : dim // 2] = 1  # closer to each other
    chosen = np.random.default_rng(seed + 1).integers(0, len(few), rows)
    return (few[chosen] / math.sqrt(dim)).astype(np.float32)


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def squared(degrees):
    """The squared distance of two points of the circle so many degrees apart."""
    return 2 - 2 * math.cos(math.radians(degrees))


# ---- neighbours


def literal_nearest(queries, gallery, k):
    scores = queries @ gallery.T
    order = [sorted(range(len(gallery)), key=lambda g: (-row[g], g))[:k] for row in scores]
    return np.array(order), np.take_along_axis(scores, np.array(order), 1), scores.min(axis=1)


@pytest.mark.parametrize("block", [(512, 32_768), (7, 10), (1, 1), (3, 1000)])
@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("make", [clustered, signs])
def test_neighbours_are_those_of_sorting_everything(block, k, make):
    queries, gallery = make(1, 30), make(2, 60)
    dim = min(queries.shape[1], 16)
    queries, gallery = queries[:, :dim], gallery[:, :dim]
    found = nearest(queries, gallery, k, block)
    indices, similarities, lowest = literal_nearest(queries, gallery, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.similarities, similarities, atol=1e-6)
    np.testing.assert_allclose(found.lowest, lowest, atol=1e-6)
    assert (found.indices.dtype, found.similarities.dtype) == (np.int64, np.float32)


@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 6),
)
def test_leftmost_of_equals(rows, k):
    scores = torch.tensor(rows, dtype=torch.float32)
    columns, values = highest(scores, k)
    expected = [sorted(range(6), key=lambda c: (-row[c], c))[:k] for row in rows]
    assert columns.tolist() == expected
    assert values.tolist() == scores.gather(1, columns).tolist()


def test_input_of_other_types_and_impossible_input():
    queries, gallery = clustered(1, 4), clustered(2, 9)
    doubles = nearest(queries.astype(np.float64), np.asfortranarray(gallery), 3)
    np.testing.assert_array_equal(doubles.indices, nearest(queries, gallery, 3).indices)
    broken = gallery.copy()
    broken[3, 3] = np.nan
    for wrong in (
        (queries, gallery, 0),
        (queries, gallery, 10),
        (queries[:0], gallery, 1),
        (queries[:, :5], gallery, 1),
        (queries, broken, 1),
    ):
        with pytest.raises(AssertionError):
            nearest(*wrong)


def test_each_image_is_its_own_nearest():
    """Though five copies stand before it and the list has three places."""
    copies = np.repeat(on_circle(0, 90), [6, 1], axis=0)
    lists, similarities = own_first(nearest(copies, copies, 3))
    assert lists.tolist() == [
        [0, 1, 2],
        [1, 0, 2],
        [2, 0, 1],
        [3, 0, 1],
        [4, 0, 1],
        [5, 0, 1],
        [6, 0, 1],
    ]
    assert similarities[:6].tolist() == [[1.0] * 3] * 6


# ---- query expansion


def neighbours(indices, similarities):
    similarities = np.array(similarities, np.float32)
    return Neighbours(np.array(indices), similarities, similarities.min(axis=1))


def test_query_expansion_by_hand():
    queries = np.array([[1, 0]], np.float32)
    gallery = np.array([[0.6, 0.8], [0, 1], [-0.8, 0.6]], np.float32)
    found = neighbours([[0, 2]], [[0.6, -0.8]])
    # αQE leaves the negative one out: (1, 0) + 0.6² (0.6, 0.8) = (1.216, 0.288).
    length = math.hypot(1.216, 0.288)
    got = expand(queries, gallery, found, 2)
    np.testing.assert_allclose(got, [[1.216 / length, 0.288 / length]], rtol=1e-6)
    # AQE: (1, 0) + (0.6, 0.8) + (−0.8, 0.6) = (0.8, 1.4); their mean has that direction.
    length = math.hypot(0.8, 1.4)
    got = expand(queries, gallery, found, 0)
    np.testing.assert_allclose(got, [[0.8 / length, 1.4 / length]], rtol=1e-6)


@pytest.mark.parametrize("alpha", [0, 0.5, 3])
def test_query_expansion_is_its_formula(alpha):
    queries, gallery = clustered(1, 1500), clustered(2, 40, centres=3)
    found = nearest(queries, gallery, 20)
    assert (found.similarities < 0).any()
    got = expand(queries, gallery, found, alpha)
    for row in range(0, 1500, 97):
        total = queries[row].astype(np.float64)
        for s, image in zip(found.similarities[row], found.indices[row], strict=True):
            total = total + (1 if alpha == 0 else max(float(s), 0) ** alpha) * gallery[image]
        np.testing.assert_allclose(got[row], total / np.linalg.norm(total), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)


def test_query_expansion_refuses():
    queries, gallery = on_circle(0, 90), on_circle(180, 10)
    found = neighbours([[0], [1]], [[-1], [0.17]])
    with pytest.raises(UserError, match=r"1 of 2 queries and their .* nothing: the first is que"):
        expand(queries, gallery, found, 0)
    for alpha in (-1, math.nan, math.inf):
        with pytest.raises(UserError, match=r"alpha of query expansion is .*: expected a number"):
            expand(queries, gallery, found, alpha)
    with pytest.raises(AssertionError):
        expand(queries, gallery, neighbours([[0], [2]], [[1], [0]]), 1)
    with pytest.raises(AssertionError):
        expand(queries[:1], gallery, found, 1)


# ---- k-reciprocal re-ranking


def test_joint_graph_by_hand():
    """k1 = k2 = 1: the query at 0° and the image at 10° are each other's nearest, no others."""
    joint = JointGraph(on_circle(0), on_circle(10, 30, 180), Settings(1, 1, 0.3))
    from_query = math.exp(-squared(10) / squared(180))  # weighs the image in the query's V
    from_image = math.exp(-squared(10) / squared(170))  # and the other way round
    query = (1 / (1 + from_query), from_query / (1 + from_query))
    image = (from_image / (1 + from_image), 1 / (1 + from_image))
    common = min(query[0], image[0]) + min(query[1], image[1])
    jaccard = [1 - common / (2 - common), 1, 1]
    plain = [squared(10) / 4, squared(30) / 4, 1]
    expected = [[0.7 * j + 0.3 * p for j, p in zip(jaccard, plain, strict=True)]]
    np.testing.assert_allclose(joint.distances(slice(0, 1)), expected, atol=1e-6)


def test_gallery_graph_by_hand():
    """10° and 30° are each other's nearest; 0° is nearer to 10° than 30° is, so it is let in."""
    graph = GalleryGraph(on_circle(10, 30, 180), Settings(1, 1, 0.3))
    common = 1 / (1 + math.exp(-squared(20) / squared(170)))  # of V(0°) = {10°: 1}, V(10°)
    to_second = math.exp(-squared(20) / squared(150))  # 10° in V(30°)
    to_second /= 1 + to_second
    jaccard = [1 - common / (2 - common), 1 - to_second / (2 - to_second), 1]
    plain = [squared(10) / 4, squared(30) / 4, 1]
    expected = [[0.7 * j + 0.3 * p for j, p in zip(jaccard, plain, strict=True)]]
    np.testing.assert_allclose(graph.distances(on_circle(0)), expected, atol=1e-6)
    # At −15° it is farther from 10° than 30° is: V is empty, and only plain distances are left.
    plain = np.array([squared(25), squared(45), squared(165)]) / squared(165)
    np.testing.assert_allclose(graph.distances(on_circle(-15)), [0.7 + 0.3 * plain], atol=1e-6)


@pytest.mark.parametrize("make", [clustered, signs])
@pytest.mark.parametrize(
    ("queries", "images", "k1", "k2", "weight"),
    [
        (1, 12, 3, 2, 0.3),
        (10, 60, 20, 6, 0.3),
        (10, 60, 5, 1, 0.0),
        (10, 60, 7, 7, 0.8),
        (10, 60, 59, 6, 0.3),
        (25, 150, 20, 6, 0.5),
        (25, 150, 1, 1, 0.3),
    ],
)
def test_both_graphs_are_the_dense_versions(make, queries, images, k1, k2, weight):
    queries, gallery = make(3, queries), make(4, images)
    chosen = Settings(k1, k2, weight)
    joint = JointGraph(queries, gallery, chosen).distances(slice(0, len(queries)))
    assert joint.dtype == np.float32
    np.testing.assert_allclose(joint, dense_joint(queries, gallery, k1, k2, weight), atol=1e-6)
    alone = GalleryGraph(gallery, chosen).distances(queries)
    assert alone.dtype == np.float32
    expected = dense_gallery_only(queries, gallery, k1, k2, weight)
    np.testing.assert_allclose(alone, expected, atol=1e-6)


@pytest.mark.parametrize("k2", [1, 2, 3])
def test_a_query_that_no_image_has_in_its_list(k2):
    """Its V is empty, and the mean of it and others adds up to less than 1."""
    gallery, query = on_circle(0, 10, 21, 33, 46, 60), on_circle(150)
    found = GalleryGraph(gallery, Settings(3, k2, 0.1)).distances(query)
    expected = dense_gallery_only(query, gallery, 3, k2, 0.1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found < 0.9).any() == (k2 > 1)  # nearest images speak for it, or plain distances


def test_images_of_the_gallery_as_queries():
    """Each is as near as the k1-th neighbour of images whose k1-th neighbour it is."""
    gallery = clustered(9, 90, dim=200)
    graph = GalleryGraph(gallery, Settings(8, 3))
    expected = dense_gallery_only(gallery, gallery, 8, 3, 0.3)
    for rows in (1, 7, 90):  # other products, other last bits
        parts = [graph.distances(gallery[at : at + rows]) for at in range(0, 90, rows)]
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_both_graphs_with_ties_and_copies(data):
    images = data.draw(st.integers(3, 14))
    points = st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4)
    gallery = np.array(data.draw(st.lists(points, min_size=images, max_size=images)), np.float32)
    queries = np.array(data.draw(st.lists(points, min_size=1, max_size=4)), np.float32)
    k1 = data.draw(st.integers(1, images - 1))
    k2 = data.draw(st.integers(1, k1))
    weight = data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    chosen = Settings(k1, k2, weight)
    joint = JointGraph(queries, gallery, chosen).distances(slice(0, len(queries)))
    np.testing.assert_allclose(joint, dense_joint(queries, gallery, k1, k2, weight), atol=1e-6)
    alone = GalleryGraph(gallery, chosen).distances(queries)
    expected = dense_gallery_only(queries, gallery, k1, k2, weight)
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_weight_one_is_the_plain_ranking():
    queries, gallery = clustered(5, 20), clustered(6, 90)
    plain = np.argsort(-(queries @ gallery.T), axis=1)
    for distances in (
        JointGraph(queries, gallery, Settings(weight=1)).distances(slice(0, 20)),
        GalleryGraph(gallery, Settings(weight=1)).distances(queries),
    ):
        np.testing.assert_array_equal(np.argsort(distances, axis=1), plain)


def test_blocks_do_not_matter_and_only_the_joint_graph_knows_of_other_queries():
    queries, gallery = clustered(7, 30), clustered(8, 120)
    joint, graph = JointGraph(queries, gallery, Settings()), GalleryGraph(gallery, Settings())
    whole, alone = joint.distances(slice(0, 30)), graph.distances(queries)
    parts = [joint.distances(slice(start, start + 7)) for start in range(0, 30, 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    singles = np.concatenate([graph.distances(query[None]) for query in queries])
    np.testing.assert_allclose(singles, alone, atol=1e-6)
    fewer = JointGraph(queries[:10], gallery, Settings()).distances(slice(0, 10))
    assert np.abs(fewer - whole[:10]).max() > 0.01


def test_images_that_are_all_the_same():
    same = on_circle(*[30] * 9)
    joint = JointGraph(same[:3], same[3:], Settings(3, 2)).distances(slice(0, 3))
    alone = GalleryGraph(same[3:], Settings(3, 2)).distances(same[:3])
    for distances in (joint, alone):
        assert distances.shape == (3, 6)
        assert ((distances >= 0) & (distances <= 0.7)).all()  # no plain distance, and no NaN


def test_reranking_finds_more_of_a_cluster():
    centres = np.random.default_rng(0).standard_normal((12, 64))
    rng = np.random.default_rng(1)
    classes = np.repeat(np.arange(12), 30)
    gallery = unit(centres[classes] + 1.7 * rng.standard_normal((360, 64)))
    queries = unit(centres + 1.7 * rng.standard_normal((12, 64)))

    def precision(distances):
        first = np.argsort(distances, axis=1, kind="stable")[:, :30]
        return (classes[first] == np.arange(12)[:, None]).mean()

    plain = precision(-(queries @ gallery.T))
    chosen = Settings(20, 6, 0.3)
    assert precision(JointGraph(queries, gallery, chosen).distances(slice(0, 12))) > plain + 0.05
    assert precision(GalleryGraph(gallery, chosen).distances(queries)) > plain + 0.05
    expanded = expand(queries, gallery, nearest(queries, gallery, 10), 3)
    assert precision(-(expanded @ gallery.T)) > plain + 0.05


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"k1": 0}, "k1 of re-ranking is 0: expected a whole number >= 1"),
        ({"k1": 2.5}, "k1 of re-ranking is 2.5: expected a whole number"),
        ({"k2": True}, "k2 of re-ranking is True: expected a whole number"),
        ({"k2": 21}, "k2 of re-ranking is 21: expected no more than k1 = 20"),
        ({"weight": 1.1}, r"weight of re-ranking is 1.1: expected a number in \[0, 1\]"),
        ({"weight": math.nan}, "weight of re-ranking is nan"),
    ],
)
def test_impossible_settings(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        Settings(**wrong)


def test_more_neighbours_than_images():
    vectors = clustered(1, 12)
    assert JointGraph(vectors[:3], vectors[3:], Settings(11, 2)).distances(slice(0, 3)).size
    assert GalleryGraph(vectors, Settings(11, 2)).distances(vectors[:1]).size
    with pytest.raises(UserError, match="k1 of re-ranking is 12: expected less than the 12 images"):
        JointGraph(vectors[:3], vectors[3:], Settings(12, 2))
    with pytest.raises(UserError, match="is 12: expected less than the 12 images of the gallery"):
        GalleryGraph(vectors, Settings(12, 2))
    with pytest.raises(AssertionError, match="another length than one"):
        GalleryGraph(2 * vectors, Settings(3, 2))
