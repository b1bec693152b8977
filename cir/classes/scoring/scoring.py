"""Class-level retrieval measured: the plain ranking, what refines it, and what it is held against.

Each way to rank has a row of its own, and no refined figure stands in for the plain one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from cir.classes.scoring.results import ClassProtocol, Graph, Result
from cir.retrieval.ranking.benchmark_metrics import average_precision
from cir.retrieval.ranking.class_metrics import figures
from cir.retrieval.ranking.hits import ClassRanking, Scores, cosine, rank_by_class
from cir.retrieval.ranking.metrics import bootstrap_interval
from cir.retrieval.refine import Settings, expand
from cir.retrieval.refine.k_reciprocal import GalleryGraph, JointGraph
from cir.retrieval.refine.neighbours import nearest


@dataclass(frozen=True)
class Part:
    """Queries or gallery: ids and classes of the images."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Vectors:
    """One kind of vectors of both parts, [Q, D] and [N, D], of length one."""

    queries: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True)
class Expansion:
    """Neighbours of query expansion, and α; see cir.retrieval.refine.expand."""

    neighbours: int
    alpha: float


@dataclass(frozen=True)
class Refinements:
    """What is measured beside the plain ranking; None and no graph leave a row out."""

    average: Expansion | None
    alpha: Expansion | None
    reranking: Settings | None
    graphs: Sequence[Graph]


@dataclass(frozen=True)
class Measured:
    """A way to rank with what it found."""

    what: str
    protocol: ClassProtocol
    ranking: ClassRanking


def protocol_of(info: Mapping, gallery_info: Mapping) -> ClassProtocol:
    """What the data stage says of the queries and the gallery, as the plain row's protocol."""
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
    refinements: Refinements,
    k: int,
) -> Iterator[Measured]:
    """Rank in every way there is, the plain one first.

    Args:
        vectors: by the name in ClassProtocol.vectors; "embedder" is there.
        protocol: of the plain ranking.
        k: how many answers are kept of each query.
    """
    for what, changed, scores in _ways(vectors, refinements):
        ranking = rank_by_class(scores, queries.classes, gallery.classes, k)
        yield Measured(what, protocol.model_copy(update=changed), ranking)


def _ways(
    vectors: Mapping[str, Vectors], refinements: Refinements
) -> Iterator[tuple[str, dict[str, str], Scores]]:
    """A name, what differs in the protocol, and the scores; one at a time, for their memory."""
    own = vectors["embedder"]
    yield "plain", {}, cosine(own.queries, own.gallery)
    for name, given in vectors.items():
        if name != "embedder":
            yield name, {"vectors": name}, cosine(given.queries, given.gallery)
    for name, chosen in (
        ("average query expansion", refinements.average),
        ("α query expansion", refinements.alpha),
    ):
        if chosen is not None:
            chosen = replace(chosen, neighbours=min(chosen.neighbours, len(own.gallery)))
            found = nearest(own.queries, own.gallery, chosen.neighbours)
            expanded = expand(own.queries, own.gallery, found, chosen.alpha)
            yield name, {"refinement": _told(chosen)}, cosine(expanded, own.gallery)
    for graph in refinements.graphs if refinements.reranking else ():
        yield (
            f"re-ranked, {graph}",
            {"refinement": _told(refinements.reranking), "graph": graph},
            _reranked(own, refinements.reranking, graph),
        )


def _reranked(own: Vectors, settings: Settings, graph: Graph) -> Scores:
    if graph == "joint query-gallery graph":
        joint = JointGraph(own.queries, own.gallery, settings)
        return lambda rows: -joint.distances(rows)
    alone = GalleryGraph(own.gallery, settings)
    return lambda rows: -alone.distances(own.queries[rows])


def _told(chosen: Expansion | Settings) -> str:
    kind = "query expansion" if isinstance(chosen, Expansion) else "k-reciprocal re-ranking"
    options = ", ".join(f"{name} {value:g}" for name, value in asdict(chosen).items())
    return f"{kind} with {options}"


def result(measured: Measured, seed: int, resamples: int) -> Result:
    """Return the figures of one way to rank, with 95% bootstrap intervals of recall@1 and mAP."""
    ranks = measured.ranking.hit_ranks
    first = np.array([own[0] == 1 for own in ranks])
    precision = np.array([average_precision(own, int(own[-1])) for own in ranks])
    return Result(
        what=measured.what,
        **figures(ranks),
        recall_at_1_interval=bootstrap_interval(first, seed, resamples),
        map_interval=bootstrap_interval(precision, seed, resamples),
        queries=len(ranks),
        gallery_size=measured.ranking.gallery_size,
        protocol=measured.protocol,
    )
