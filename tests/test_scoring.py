"""A world of five objects in which every vector, rank and score can be worked out by hand.

An image is the set of objects that it shows; its feature has a 1 for each of them, and a name's
feature is the same for one object. The right query vector is then exactly the target's.
"""

from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cir.breakdown import accuracy_by, failures, kind_of, spread
from cir.composers import ArithmeticComposer
from cir.datasets import shards
from cir.embedding import Embeddings, embed
from cir.errors import UserError
from cir.records import Edit, Triplet
from cir.retriever import EncodedComposer, Retriever
from cir.scoring import Task, recall_curves, score

OBJECTS = "abcde"
IMAGES = {"i0": "ab", "i1": "abc", "i2": "abd", "i3": "bc", "i4": "ce", "i5": "e", "i6": "ce"}
TRIPLETS = [
    Triplet("q0", "i0", "add c", "i1", ("c",), (), near_misses=("i2",)),
    Triplet("q1", "i1", "remove a", "i3", (), ("a",), near_misses=("i0",)),
    Triplet("q2", "i0", "please c", "i1", ("c",), (), near_misses=("i2",), novel=True),
    Triplet("q3", "i5", "add c", "i4", ("c",), ()),
]


class SetEncoder(nn.Module):
    dim, device = len(OBJECTS), torch.device("cpu")

    def fingerprint(self):
        return "sets"

    def preprocess(self, image):
        return np.asarray(image).transpose(2, 0, 1)

    def encode_images(self, pixels):
        return (pixels[:, 0, 0] > 0).float()

    def encode_names(self, names):
        return torch.tensor([[float(name == o) for o in OBJECTS] for name in names]).reshape(-1, 5)


class LiteralTagger:
    """Reads "add x" and "remove x"; of anything else it understands "add d"."""

    def tag(self, texts):
        edits = []
        for text in texts:
            verb, name = text.split()
            add, remove = {"add": ((name,), ()), "remove": ((), (name,))}.get(verb, (("d",), ()))
            edits.append(Edit(text, add, remove))
        return edits


def png(objects):
    shown = np.array([255 * (o in objects) for o in OBJECTS], np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.repeat(shown[None, :, None], 3, axis=2)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def world(tmp_path):
    rows = [(name, png(objects), tuple(objects)) for name, objects in IMAGES.items()]
    shards.write(tmp_path / "test", rows, TRIPLETS, {})
    images = shards.ImageShards(tmp_path / "test")
    encoder = SetEncoder()
    embed(encoder, images.shards(), tmp_path / "vectors", tmp_path / "work")
    model = EncodedComposer(encoder, ArithmeticComposer(False, False))
    return SimpleNamespace(
        images=images,
        embeddings=Embeddings.load(tmp_path / "vectors", "sets"),
        retriever=Retriever(model, LiteralTagger(), batch_size=3),
    )


def scores_of(world, triplets=TRIPLETS):
    return score(world.retriever, world.images, Task(triplets, world.embeddings), seed=0)


def test_ranks_by_hand(world):
    scores = scores_of(world)
    # q2 is misread: {a, b, d} is i2, then i0 (2/√6), then the target i1 (2/3). q3 ties with i6.
    assert scores.hard.target_ranks.tolist() == [1, 1, 3, 2]
    # Without i2 and i6, the misread query finds its own reference, then the target.
    assert scores.contest_like.target_ranks.tolist() == [1, 1, 2, 1]


def test_metrics_by_hand(world):
    metrics = scores_of(world).metrics
    assert (metrics["accuracy"], metrics["queries"], metrics["gallery_size"]) == (0.5, 4, 7)
    assert metrics["interval95"][0] < 0.5 < metrics["interval95"][1]
    assert metrics["recall@5"] == 1.0
    assert metrics["mrr"] == pytest.approx((1 + 1 + 1 / 3 + 1 / 2) / 4)
    assert metrics["by_kind"]["+1 -0"] == {"accuracy": pytest.approx(1 / 3), "queries": 3}
    assert metrics["by_kind"]["+0 -1"] == {"accuracy": 1.0, "queries": 1}
    assert metrics["by_objects"] == {"1": {"accuracy": 0.5, "queries": 4}}
    assert metrics["seen"]["accuracy"] == pytest.approx(2 / 3)
    assert (metrics["novel"]["accuracy"], metrics["novel"]["queries"]) == (0.0, 1)
    assert metrics["contest_gallery"]["accuracy"] == 0.75
    assert metrics["contest_gallery"]["gallery_size"] == 5
    assert metrics["text"] == {"tagged": 0.5, "true_edit": 0.75, "tagger_exact_edit": 0.75}
    assert metrics["errors"] == {
        "own reference": 0,
        "own near miss": 1,
        "another image": 0,
        "a tie": 1,
        "after a misread sentence": 1,
    }
    assert metrics["absent"] == {}


def test_half_a_query_finds_nothing_here(world):
    baselines = scores_of(world).metrics["baselines"]
    # A reference is most like itself; "c" alone is most like {b, c}; "not a" is all without a.
    assert baselines["image_only"]["accuracy"] == 0.0
    assert baselines["text_only"]["accuracy"] == 0.0
    assert baselines["image_only"]["protocol"]["edit"] == "none"


def test_protocol_stands_beside_the_results(world):
    metrics = scores_of(world).metrics
    assert metrics["protocol"]["gallery"] == "hard"
    assert metrics["contest_gallery"]["protocol"]["gallery"] == "contest-like"
    assert metrics["protocol"]["edit"] == "tagged"


def test_what_the_source_cannot_tell_is_absent_with_a_reason(world):
    plain = [Triplet(t.id, t.reference, t.text, t.target) for t in TRIPLETS]
    metrics = scores_of(world, plain).metrics
    assert set(metrics["absent"]) == {"novel", "text.true_edit"}
    assert "novel" not in metrics
    assert metrics["text"] == {"tagged": 0.5}
    assert metrics["by_kind"]["+1 -0"]["queries"] == 3  # by the edits as tagged
    assert metrics["errors"]["after a misread sentence"] == 0


def test_a_gallery_of_targets_and_references_alone(world):
    kept = [row for row, name in enumerate(world.embeddings.ids) if name not in ("i2", "i6")]
    world.embeddings = Embeddings(
        tuple(world.embeddings.ids[row] for row in kept), world.embeddings.vectors[kept], "sets"
    )
    scores = scores_of(world)
    assert scores.contest_like is None
    assert scores.metrics["protocol"]["gallery"] == "contest-like"
    assert "contest_gallery" in scores.metrics["absent"]
    assert "contest_gallery" not in scores.metrics
    assert all(set(row) == {"k", "recall"} for row in recall_curves(scores))


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
    groups = accuracy_by(["b", "a", "b"], np.array([True, False, False]))
    assert list(groups) == ["a", "b"]
    assert groups["b"] == {"accuracy": 0.5, "queries": 2}
    assert spread([0, 1, 2, 4], ["x", "x", "x", "y", "y"], 3) == [0, 4, 1]
    assert spread([], ["x"], 3) == []
