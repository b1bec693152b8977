"""Declare metrics/class_retrieval.json: the score stage writes it and the report reads it."""

from typing import Literal

from pydantic import Field, PositiveInt

from cir.core.metrics_files import Fingerprint, MetricsFile
from cir.core.params import Section, Share

Graph = Literal["joint query-gallery graph", "gallery-only graph"]


class ClassProtocol(Section):
    """Which queries are ranked against which gallery, and how; stored beside every result.

    Attributes:
        gallery: the origin of the gallery's images.
        classes: whether training saw other images of the query classes.
        vectors: the encoder. The tower before training is pooled as in training or, with published
            weights, by its class token.
        refinement: what happens between the vectors and the ranking.
        graph: the graph of a re-ranking. With the joint graph, an answer depends on the other
            queries.
        hit, query, similarity, ties: what counts as a hit, what a query is, how images are
            compared, and how ties count.
        interval: the population of the bootstrap intervals.
        left_out: the unusable images of the source, by reason.
    """

    gallery: Literal["training images", "held-out images"]
    classes: Literal["never trained on", "trained on", "some trained on"]
    vectors: Literal["embedder", "flip-averaged", "tower before training", "colour histograms"]
    refinement: str = "none"
    graph: Graph | None = None
    hit: str = "any image of the query's class"
    query: str = "image, not in the gallery"
    similarity: str = "cosine"
    ties: str = "against the hits"
    interval: str = "other queries of the same classes, the same gallery"
    left_out: str | None = None


class _Figures(Section):
    """Give the figures of cir.retrieval.ranking.metrics.class_figures for some queries."""

    recall_at_1: Share = Field(alias="recall@1")
    recall_at_5: Share = Field(alias="recall@5")
    recall_at_10: Share = Field(alias="recall@10")
    map: Share
    map_at_r: Share = Field(alias="map@r")
    queries: PositiveInt


class Result(_Figures):
    """Give the figures of one way to rank, with 95% intervals of recall@1 and mAP."""

    what: str
    recall_at_1_interval: tuple[Share, Share] = Field(alias="recall@1_interval95")
    map_interval: tuple[Share, Share] = Field(alias="map_interval95")
    gallery_size: PositiveInt
    protocol: ClassProtocol


class OfClass(_Figures):
    """Give the figures of the queries of one class in the plain ranking."""

    name: str = Field(alias="class")
    gallery_images: PositiveInt


class Metrics(MetricsFile):
    """Give the figures of every way to rank.

    The first of `results` is the plain ranking: the scalars and `by_class`, which begins with the
    worst class, belong to it.
    """

    recall_at_1: Share = Field(alias="class_recall@1")
    map: Share = Field(alias="class_map")
    map_at_r: Share = Field(alias="class_map@r")
    results: list[Result] = Field(min_length=1)
    by_class: list[OfClass]
    fingerprints: list[Fingerprint]
