"""Measure class-level retrieval: the plain ranking, refined rankings, and baselines.

Each way to rank has a row of its own, and no refined figure replaces a plain one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cir.classes.scoring.params import Reranking, ScoreClasses
from cir.classes.scoring.results import ClassProtocol, Graph, Result
from cir.images.shards import ImageShards
from cir.retrieval.ranking.metrics import average_precision, bootstrap_interval, class_figures
from cir.retrieval.ranking.ranking import HitRanking, Scores, cosine, rank_by_class
from cir.retrieval.refine import expand
from cir.retrieval.refine.k_reciprocal import GalleryGraph, JointGraph
from cir.retrieval.refine.neighbours import nearest


@dataclass(frozen=True)
class Part:
    """The ids and the classes of the images of queries or gallery."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]

    @classmethod
    def read(cls, images: ImageShards) -> "Part":
        """Read a part of data/classes, in which the only object of an image is its class."""
        return cls(images.ids, tuple(images.objects(name)[0] for name in images.ids))


@dataclass(frozen=True)
class Vectors:
    """The vectors of queries [Q, D] and gallery [N, D] by one encoder, of length one."""

    queries: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True)
class Measured:
    """A way to rank, and its ranking."""

    what: str
    protocol: ClassProtocol
    ranking: HitRanking


def protocol_of(info: Mapping, gallery_info: Mapping) -> ClassProtocol:
    """Return the protocol of the plain ranking, from the infos of the queries and the gallery."""
    trained, classes = info["classes_in_training"], len(info["classes"])
    if trained == 0:
        seen = "never trained on"
    else:
        seen = "trained on" if trained == classes else "some trained on"
    left_out = ", ".join(f"{count} {reason}" for reason, count in info["left_out"].items())
    return ClassProtocol(
        gallery="training images" if gallery_info["gallery_is_training"] else "held-out images",
        classes=seen,
        vectors="embedder",
        left_out=left_out or None,
    )


def measure(
    vectors: Mapping[str, Vectors],
    queries: Part,
    gallery: Part,
    protocol: ClassProtocol,
    params: ScoreClasses,
    k: int,
) -> Iterator[Measured]:
    """Rank in every way, the plain one first.

    Args:
        vectors: the vectors by their name in ClassProtocol.vectors, with at least "embedder".
        protocol: the protocol of the plain ranking.
        params: the refinements.
        k: the number of answers to keep for each query.
    """
    for what, changed, scores in _ways(vectors, params):
        ranking = rank_by_class(scores, queries.classes, gallery.classes, k)
        yield Measured(what, protocol.model_copy(update=changed), ranking)


def _ways(
    vectors: Mapping[str, Vectors], params: ScoreClasses
) -> Iterator[tuple[str, dict[str, str], Scores]]:
    """Yield a name, the changes of the protocol, and the scores; one at a time to save memory."""
    own = vectors["embedder"]
    yield "plain", {}, cosine(own.queries, own.gallery)
    for name, given in vectors.items():
        if name != "embedder":
            yield name, {"vectors": name}, cosine(given.queries, given.gallery)
    for name, chosen in (
        ("average query expansion", params.average_expansion),
        ("α query expansion", params.alpha_expansion),
    ):
        if chosen is not None:
            neighbours = min(chosen.neighbours, len(own.gallery))
            found = nearest(own.queries, own.gallery, neighbours)
            expanded = expand(own.queries, own.gallery, found, chosen.alpha)
            told = f"query expansion with neighbours {neighbours:g}, alpha {chosen.alpha:g}"
            yield name, {"refinement": told}, cosine(expanded, own.gallery)
    chosen = params.reranking
    for graph in chosen.graphs if chosen else ():
        told = f"k1 {chosen.k1:g}, k2 {chosen.k2:g}, weight {chosen.weight:g}"
        changed = {"refinement": f"k-reciprocal re-ranking with {told}", "graph": graph}
        yield f"re-ranked, {graph}", changed, _reranked(own, chosen, graph)


def _reranked(own: Vectors, params: Reranking, graph: Graph) -> Scores:
    settings = params.create()
    if graph == "joint query-gallery graph":
        joint = JointGraph(own.queries, own.gallery, settings)
        return lambda rows: -joint.distances(rows)
    alone = GalleryGraph(own.gallery, settings)
    return lambda rows: -alone.distances(own.queries[rows])


def result(measured: Measured, seed: int, resamples: int) -> Result:
    """Return the figures of one way to rank, with 95% bootstrap intervals of recall@1 and mAP."""
    ranks = measured.ranking.hit_ranks
    first = np.array([own[0] == 1 for own in ranks])
    precision = np.array([average_precision(own, int(own[-1])) for own in ranks])
    return Result(
        what=measured.what,
        **class_figures(ranks),
        recall_at_1_interval=bootstrap_interval(first, seed, resamples),
        map_interval=bootstrap_interval(precision, seed, resamples),
        queries=len(ranks),
        gallery_size=measured.ranking.gallery_size,
        protocol=measured.protocol,
    )
