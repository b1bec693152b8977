import numpy as np
import pytest

from cir.core.device import DEVICE
from cir.retrieval.ranking.mapped import MappedVectors
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.ranking.ranking import Ranking, rank, top_k


def unit(rng, rows, dim):
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def names(prefix, count):
    return [f"{prefix}{number}" for number in range(count)]


def literal(queries, gallery, targets, k, allowed=None, excluded=None):
    """Sort every score of every query; among equals the target comes last."""
    top, ranks = [], []
    for row, query in enumerate(queries):
        scores = [(float(query @ image), index) for index, image in enumerate(gallery)]
        scores = [
            (score, index)
            for score, index in scores
            if (allowed is None or allowed[index]) and (excluded is None or excluded[row] != index)
        ]
        top.append([index for _, index in sorted(scores, key=lambda s: (-s[0], s[1]))][:k])
        target = targets[row]
        order = sorted(scores, key=lambda s: (-s[0], s[1] == target))
        ranks.append(1 + [index for _, index in order].index(target))
    return np.array(top), np.array(ranks)


@pytest.mark.parametrize("block", [(256, 8192), (3, 7), (1, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_same_as_sorting_everything(block, ties):
    rng = np.random.default_rng(0)
    queries, gallery = unit(rng, 20, 8), unit(rng, 50, 8)
    if ties:  # whole numbers: every sum is exact, and equal scores abound
        queries, gallery = (np.round(v * 2).astype(np.float32) for v in (queries, gallery))
    targets = rng.integers(0, 50, 20)
    ranking = rank(queries, gallery, names("q", 20), names("g", 50), targets, k=6, block=block)
    top, ranks = literal(queries, gallery, targets, 6)
    np.testing.assert_array_equal(ranking.top_indices, top)
    np.testing.assert_array_equal(ranking.target_ranks, ranks)


@pytest.mark.parametrize("block", [None, (7, 16), (1, 1)])
@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize("device", sorted({"cpu", DEVICE}))
def test_torch_ranks_as_numpy_does(device, block, whole_numbers):
    rng = np.random.default_rng(4)
    queries, gallery = unit(rng, 30, 24), unit(rng, 90, 24)
    if whole_numbers:
        queries, gallery = (np.round(v * 4).astype(np.float32) for v in (queries, gallery))
    targets, allowed = rng.integers(0, 45, 30), np.arange(90) != 60
    given = queries, gallery, names("q", 30), names("g", 90), targets
    more = {"k": 7, "allowed": allowed, "excluded": targets + 1, "block": block}
    one, other = (rank(*given, **more, device=which) for which in (None, device))
    np.testing.assert_array_equal(one.top_indices, other.top_indices)
    np.testing.assert_array_equal(one.target_ranks, other.target_ranks)
    np.testing.assert_allclose(one.top_scores, other.top_scores, atol=1e-6)
    top, ranks = literal(queries, gallery, targets, 7, allowed, targets + 1)
    np.testing.assert_array_equal(other.top_indices, top)
    np.testing.assert_array_equal(other.target_ranks, ranks)


@pytest.mark.parametrize("block", [(256, 8192), (4, 9), (3, 1)])
def test_files_of_vectors_rank_as_one_matrix_bit_for_bit(tmp_path, block):
    rng = np.random.default_rng(5)
    queries, gallery = unit(rng, 20, 16), unit(rng, 50, 16)
    targets = rng.integers(0, 50, 20)
    given = names("q", 20), names("g", 50), targets
    parts = np.split(gallery, [13, 13, 27, 49])  # one of them is empty
    for number, part in enumerate(parts):
        np.save(tmp_path / f"{number}.npy", part)
    mapped = [np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(len(parts))]
    more = {"excluded": (targets + 1) % 50, "block": block}
    one = rank(queries, gallery, *given, **more)
    other = rank(queries, MappedVectors(mapped), *given, **more)
    for field in ("top_indices", "top_scores", "target_ranks", "target_scores"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_rows_of_several_files():
    matrix = np.arange(20, dtype=np.float32).reshape(10, 2)
    vectors = MappedVectors(np.split(matrix, [4, 4, 7]))
    assert (len(vectors), vectors.shape) == (10, (10, 2))
    for rows in (slice(0, 4), slice(3, 8), slice(None), slice(5, 5), slice(8, 99)):
        np.testing.assert_array_equal(vectors[rows], matrix[rows])
    for rows in (np.array([9, 0, 4, 4]), np.array([], int), 7):
        np.testing.assert_array_equal(vectors[rows], matrix[rows])
    for rows in (np.array([10]), -1):
        with pytest.raises(IndexError):
            vectors[rows]


def test_part_of_the_gallery_and_excluded_references():
    rng = np.random.default_rng(1)
    queries, gallery = unit(rng, 15, 8), unit(rng, 40, 8)
    allowed = rng.random(40) < 0.6
    targets = rng.choice(np.flatnonzero(allowed), 15)
    excluded = np.where(targets == 3, 4, 3)
    excluded[::2] = -1
    ranking = rank(
        queries,
        gallery,
        names("q", 15),
        names("g", 40),
        targets,
        k=5,
        allowed=allowed,
        excluded=excluded,
        block=(4, 9),
    )
    top, ranks = literal(queries, gallery, targets, 5, allowed, excluded)
    np.testing.assert_array_equal(ranking.top_indices, top)
    np.testing.assert_array_equal(ranking.target_ranks, ranks)


def test_ties_count_against_the_target():
    gallery = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    ranking = rank(queries, gallery, ["a", "b"], names("g", 4), np.array([0, 1]), k=4)
    assert ranking.target_ranks.tolist() == [3, 1]
    assert ranking.top_ids(0) == ["g0", "g2", "g3", "g1"]
    assert ranking.correct.tolist() == [False, True]


def test_copies_of_the_target_tie_whatever_the_block():
    rng = np.random.default_rng(2)
    gallery = np.repeat(unit(rng, 10, 256), 7, axis=0)
    queries = gallery[::7] + 0.1 * unit(rng, 10, 256)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    for width in (1, 3, 70):
        ranking = rank(
            queries, gallery, names("q", 10), names("g", 70), np.arange(0, 70, 7), block=(5, width)
        )
        assert ranking.target_ranks.tolist() == [7] * 10


def test_more_asked_for_than_there_is():
    vectors = np.eye(3, dtype=np.float32)
    ranking = rank(vectors, vectors, names("q", 3), names("g", 3), np.arange(3), k=10)
    assert ranking.top_indices.shape == (3, 3)


def test_leftmost_of_equals_at_the_border():
    scores = np.array([[1, 2, 2, 2, 0], [5, 5, 5, 5, 5]], np.float32)
    assert top_k(scores, 2).tolist() == [[1, 2], [0, 1]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"queries": np.full((1, 2), np.nan, np.float32)},
        {"gallery": np.array([[1, 0], [np.nan, 1]], np.float32)},
        {"gallery": np.array([[1, 0], [np.inf, 1]], np.float32)},
        {"queries": np.ones((1, 3), np.float32)},
        {"targets": np.array([2])},
        {"targets": np.array([1]), "allowed": np.array([True, False])},
        {"targets": np.array([1]), "excluded": np.array([1])},
    ],
)
def test_impossible_input_is_refused(wrong):
    given = {
        "queries": np.ones((1, 2), np.float32),
        "gallery": np.eye(2, dtype=np.float32),
        "query_ids": ["q"],
        "gallery_ids": ["a", "b"],
        "targets": np.array([0]),
    }
    rank(**given)
    with pytest.raises(AssertionError):
        rank(**(given | wrong))


def test_a_ranking_is_checked():
    fine = {
        "query_ids": ("q",),
        "gallery_ids": ("a", "b"),
        "top_indices": np.array([[1, 0]]),
        "top_scores": np.array([[0.9, 0.1]]),
        "target_ranks": np.array([1]),
        "target_scores": np.array([0.9]),
        "gallery_size": 2,
    }
    assert Ranking(**fine).top_ids(0) == ["b", "a"]
    for key, value in {
        "gallery_ids": ("a", "a"),
        "top_indices": np.array([[2, 0]]),
        "top_scores": np.array([[0.1, 0.9]]),
        "target_ranks": np.array([0]),
    }.items():
        with pytest.raises(AssertionError):
            Ranking(**(fine | {key: value}))


def test_protocol_as_stored():
    stored = Protocol(gallery="hard", edit="tagged").to_dict()
    assert stored["reference_kept"] is True
    assert (stored["gallery"], stored["edit"], stored["hit"]) == ("hard", "tagged", "the target")
