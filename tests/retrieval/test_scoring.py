"""The scores of the test queries, worked out by hand in a world of five objects."""

from types import SimpleNamespace

import numpy as np
import pytest

from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.records import Edit, Triplet
from cir.edits.reading.templates import Template
from cir.images import shards
from cir.retrieval.breakdown import accuracy_by, answers, failures, kind_of, spread
from cir.retrieval.ranking.embedding import Embeddings, embed
from cir.retrieval.results import Cause, Kind, Objects
from cir.retrieval.retriever import Retriever
from cir.retrieval.scoring import recall_curves, score
from cir.retrieval.task import Task
from tests.helpers.composers import arithmetic
from tests.helpers.set_world import LiteralTagger, SetEncoder, png

IMAGES = {"i0": "ab", "i1": "abc", "i2": "abd", "i3": "bc", "i4": "ce", "i5": "e", "i6": "ce"}
TRIPLETS = [
    Triplet("q0", "i0", "add c", "i1", ("c",), (), near_misses=("i2",)),
    Triplet("q1", "i1", "remove a", "i3", (), ("a",), near_misses=("i0",)),
    Triplet("q2", "i0", "please c", "i1", ("c",), (), near_misses=("i2",), novel=True),
    Triplet("q3", "i5", "add c", "i4", ("c",), ()),
]


@pytest.fixture
def world(tmp_path):
    rows = [(name, png(objects), tuple(objects)) for name, objects in IMAGES.items()]
    shards.write(tmp_path / "test", rows, TRIPLETS, {})
    images = shards.ImageShards(tmp_path / "test")
    encoder = SetEncoder()
    embed(encoder, images.shards(), tmp_path / "vectors", tmp_path / "work")
    model = EncodedComposer(encoder, arithmetic())
    return SimpleNamespace(
        images=images,
        embeddings=Embeddings.load(tmp_path / "vectors", "sets"),
        retriever=Retriever(model, LiteralTagger(), batch_size=3),
    )


def scores_of(world, triplets=TRIPLETS, templates=()):
    task = Task(triplets, world.embeddings)
    return score(world.retriever, world.images, task, seed=0, templates=templates)


def test_ranks_by_hand(world):
    scores = scores_of(world)
    # q2 is misread: {a, b, d} is i2, then i0 (2/√6), then the target i1 (2/3). q3 ties with i6.
    assert scores.hard.target_ranks.tolist() == [1, 1, 3, 2]
    # Without i2 and i6, the misread query finds its own reference, then the target.
    assert scores.contest_like.target_ranks.tolist() == [1, 1, 2, 1]


def results_of(metrics):
    return {result.what: result for result in metrics.results}


def test_metrics_by_hand(world):
    metrics = scores_of(world).metrics
    results = results_of(metrics)
    headline = metrics.headline
    told = (headline.what, headline.queries, headline.gallery_size)
    assert told == ("tagged edits", 4, 7)
    assert metrics.accuracy == headline.accuracy == 0.5
    assert metrics.interval95[0] < 0.5 < metrics.interval95[1]
    assert metrics.recall_at_5 == 1.0
    assert metrics.mrr == pytest.approx((1 + 1 + 1 / 3 + 1 / 2) / 4)
    removal, addition = metrics.by_kind
    assert removal == Kind(kind="+0 -1", added=0, removed=1, queries=1, accuracy=1.0)
    assert (addition.kind, addition.queries) == ("+1 -0", 3)
    assert addition.accuracy == pytest.approx(1 / 3)
    assert metrics.by_objects == [Objects(objects=1, queries=4, accuracy=0.5)]
    assert results["seen names"].accuracy == pytest.approx(2 / 3)
    assert results["seen names"].mrr == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert (results["novel names"].accuracy, results["novel names"].queries) == (0.0, 1)
    assert metrics.novel_accuracy == 0.0
    assert results["targets and references only"].accuracy == 0.75
    assert results["targets and references only"].gallery_size == 5
    assert results["true edits"].accuracy == 0.75
    assert {row.cause: row.queries for row in metrics.errors} == {
        "own reference": 0,
        "own near miss": 1,
        "another image": 0,
        "a tie": 1,
        "after a misread sentence": 1,
    }
    assert metrics.absent == []


def test_half_a_query_finds_nothing_here(world):
    metrics = scores_of(world).metrics
    results = results_of(metrics)
    # A reference is most like itself; "c" alone is most like {b, c}; "not a" is all without a.
    assert results["image only"].accuracy == 0.0
    assert results["edit only"].accuracy == 0.0
    # The ranks are 1, 1, 3, 2 for both inputs, 4, 4, 7, 3 for the edit, 3 each for the image.
    assert results["edit only"].mrr == pytest.approx((1 / 4 + 1 / 4 + 1 / 7 + 1 / 3) / 4)
    assert results["image only"].mrr == pytest.approx(1 / 3)
    low, high = results["edit only"].mrr_interval95
    assert low < results["edit only"].mrr < high
    # Without the reference: 1, 1, 2, 2 for both inputs, and 2 each for the image.
    assert results["tagged edits, reference removed"].mrr == pytest.approx(0.75)
    assert results["image only, reference removed"].mrr == pytest.approx(0.5)
    assert metrics.composition_gap == 0.5
    told = [
        (row.k, row.reference_kept, row.solved, row.edit_shortcuts, row.image_shortcuts, row.gap)
        for row in metrics.composition
    ]
    assert told == [
        (1, True, 0.5, 0.0, 0.0, 0.5),
        (10, True, 1.0, 1.0, 1.0, 0.0),
        (1, False, 0.5, 0.0, 0.0, 0.5),
        (10, False, 1.0, 1.0, 1.0, 0.0),
    ]


def test_near_misses_before_the_target_by_hand(world):
    # Only the misread q2 has its near miss (1 > 2/3) and its reference (2/√6) before the target.
    named, reference = scores_of(world).metrics.near_misses
    assert (named.what, named.queries, named.images) == ("near misses", 3, 3)
    assert named.any_ahead == named.mean_ahead == pytest.approx(1 / 3)
    assert (reference.what, reference.queries, reference.images) == ("the reference", 4, 4)
    assert reference.any_ahead == reference.mean_ahead == 0.25


def test_templates_that_are_too_few_are_told_of(world):
    templates = [Template(f"{verb} <positive_object>", "") for verb in ("add", "please")]
    templates = [Template("add <positive_object>", ""), Template("remove <negative_object>", "")]
    metrics = scores_of(world, templates=templates).metrics
    assert metrics.paraphrases == []
    assert metrics.absent[-1].what == "paraphrases"
    assert "in 6 ways" in metrics.absent[-1].why


def test_a_query_whose_target_is_its_reference_stays_where_the_reference_is_kept(world):
    same = Triplet("q4", "i6", "add c", "i6", ("c",), ())
    results = results_of(scores_of(world, [*TRIPLETS, same]).metrics)
    assert results["tagged edits"].queries == 5
    assert results["tagged edits, reference removed"].queries == 4
    metrics = scores_of(world, [same]).metrics
    assert "reference removed" in {row.what for row in metrics.absent}
    assert not [what for what in results_of(metrics) if what.endswith("reference removed")]


def test_protocol_stands_beside_every_result(world):
    protocols = {row.what: row.protocol for row in scores_of(world).metrics.results}
    told = {
        what: (protocol["gallery"], protocol["query"], protocol["edit"])
        for what, protocol in protocols.items()
    }
    assert told == {
        "tagged edits": ("hard", "image and edit", "tagged"),
        "seen names": ("hard", "image and edit", "tagged"),
        "novel names": ("hard", "image and edit", "tagged"),
        "targets and references only": ("contest-like", "image and edit", "tagged"),
        "true edits": ("hard", "image and edit", "true"),
        "image only": ("hard", "image", "none"),
        "edit only": ("hard", "edit", "tagged"),
        "tagged edits, reference removed": ("hard", "image and edit", "tagged"),
        "image only, reference removed": ("hard", "image", "none"),
        "edit only, reference removed": ("hard", "edit", "tagged"),
    }
    removed = {what for what, protocol in protocols.items() if not protocol["reference_kept"]}
    assert removed == {what for what in told if what.endswith("reference removed")}


def test_what_the_source_cannot_tell_is_absent_with_a_reason(world):
    plain = [Triplet(t.id, t.reference, t.text, t.target) for t in TRIPLETS]
    metrics = scores_of(world, plain).metrics
    assert {row.what for row in metrics.absent} == {"novel names", "true edits"}
    assert not {"novel names", "true edits"} & results_of(metrics).keys()
    assert metrics.novel_accuracy is None
    by_kind = {row.kind: row.queries for row in metrics.by_kind}
    assert by_kind["+1 -0"] == 3  # by the edits as tagged
    assert metrics.errors[-1] == Cause(cause="after a misread sentence", queries=0)


def test_a_gallery_of_targets_and_references_alone(world):
    kept = [row for row, name in enumerate(world.embeddings.ids) if name not in ("i2", "i6")]
    world.embeddings = Embeddings(
        tuple(world.embeddings.ids[row] for row in kept), world.embeddings.vectors[kept], "sets"
    )
    scores = scores_of(world)
    assert scores.contest_like is None
    assert scores.metrics.headline.protocol["gallery"] == "contest-like"
    assert "targets and references only" in {row.what for row in scores.metrics.absent}
    assert "targets and references only" not in results_of(scores.metrics)
    assert all(set(row) == {"k", "recall"} for row in recall_curves(scores))


def test_answers_tell_of_every_query(world):
    scores = scores_of(world)
    rows = answers(scores.hard, TRIPLETS, scores.edits, shown=2)
    assert [row["rank"] for row in rows] == [1, 1, 3, 2]
    misread = rows[2]
    assert (misread["query"], misread["novel"], misread["kind"]) == ("q2", True, "+1 -0")
    assert (misread["reference"], misread["target"]) == ("i0", "i1")
    assert misread["answers"] == ["i2", "i0"]
    assert misread["scores"] == pytest.approx([1.0, 2 / 6**0.5])
    assert misread["target_score"] == pytest.approx(2 / 3)


def test_same_seed_same_metrics(world):
    assert scores_of(world).metrics == scores_of(world).metrics


def test_no_queries_and_images_that_were_not_embedded(world):
    with pytest.raises(UserError, match="no queries"):
        Task([], world.embeddings)
    with pytest.raises(UserError, match=r"lacks 1 images .* i9"):
        Task([Triplet("q", "i0", "add c", "i9")], world.embeddings)


def test_curve_by_hand(world):
    rows = {row["k"]: row for row in recall_curves(scores_of(world))}
    assert [rows[k]["recall"] for k in (1, 2, 3, 100)] == [0.5, 0.75, 1.0, 1.0]
    assert [rows[k]["recall_contest_like"] for k in (1, 2)] == [0.75, 1.0]


def test_failures_tell_what_was_read_and_found(world):
    scores = scores_of(world)
    worst, tie = failures(scores.hard, TRIPLETS, scores.edits)
    assert (worst["query"], worst["add"], worst["first"], worst["target"]) == (
        "q2",
        "d",
        "i2",
        "i1",
    )
    assert worst["target_rank"] == 3
    assert worst["first_score"] == pytest.approx(1.0)
    assert worst["target_score"] == pytest.approx(2 / 3)
    assert (tie["query"], tie["target_rank"]) == ("q3", 2)


def test_groups_and_spread():
    assert kind_of(Edit("", ("x", "y"), ("z",))) == "+2 -1"
    assert accuracy_by("letter", ["b", "a", "b"], np.array([True, False, False])) == [
        {"letter": "a", "queries": 1, "accuracy": 0.0},
        {"letter": "b", "queries": 2, "accuracy": 0.5},
    ]
    assert spread([0, 1, 2, 4], ["x", "x", "x", "y", "y"], 3) == [0, 4, 1]
    assert spread([], ["x"], 3) == []
