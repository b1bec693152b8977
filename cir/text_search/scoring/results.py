"""Declare metrics/text_search.json and metrics/encoders.json: stages write them, the report reads
them."""

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from cir.core.metrics_files import Fingerprint, MetricsFile
from cir.core.params import Section, Share

AS_WRITTEN = "as written"
Interval = tuple[Share, Share]


class TextProtocol(Section):
    """Which images are ranked for which queries, and how; stored beside every result.

    Attributes:
        text: the text that the encoder reads: the query as written, or a prompt around it.
        least_grade: the lowest grade that counts as relevant in P, R, MRR and MAP. nDCG uses all
            grades.
        ranking: what orders the images.
        gallery, gain, ties: which images are ranked, the gain of nDCG, and how ties count.
        interval: the population of the bootstrap intervals.
    """

    text: str
    least_grade: int
    ranking: str = "cosine"
    gallery: str = "every image of the split"
    gain: str = "the grade, over log2(1 + rank)"
    ties: str = "against the answers: the lower grade first"
    interval: str = "other queries of the same kinds, the same gallery"


class _Figures(Section):
    """Give the means of cir.retrieval.ranking.metrics.graded_figures over some queries.

    `told_apart` is the mean of cir.text_search.scoring.scoring.told_apart.
    """

    p_at_1: Share = Field(alias="p@1")
    p_at_5: Share = Field(alias="p@5")
    p_at_10: Share = Field(alias="p@10")
    r_at_1: Share = Field(alias="r@1")
    r_at_5: Share = Field(alias="r@5")
    r_at_10: Share = Field(alias="r@10")
    ndcg_at_1: Share = Field(alias="ndcg@1")
    ndcg_at_5: Share = Field(alias="ndcg@5")
    ndcg_at_10: Share = Field(alias="ndcg@10")
    mrr: Share
    map: Share
    ndcg_interval: Interval = Field(alias="ndcg@10_interval95")
    mrr_interval: Interval = Field(alias="mrr_interval95")
    map_interval: Interval = Field(alias="map_interval95")
    queries: PositiveInt
    told_apart: Share | None = None


class OfKind(_Figures):
    """Give the figures of one kind of query."""

    kind: str


class Result(_Figures):
    """Give the figures of one system. All systems have the same queries, so the same kinds."""

    what: str
    gallery_size: PositiveInt
    protocol: TextProtocol
    by_kind: list[OfKind]


class TextSearchMetrics(MetricsFile):
    """Give the figures of every system; the scalars are those of the last, after fine-tuning.

    For each kind of query there is also its nDCG@10, under "text_ndcg@10_" and the name of the kind
    in lower case with _ for other characters, such as text_ndcg@10_one_object. "text_told_apart_"
    is used in the same way.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Share]

    ndcg_at_10: Share = Field(alias="text_ndcg@10")
    mrr: Share = Field(alias="text_mrr")
    map: Share = Field(alias="text_map")
    results: list[Result] = Field(min_length=1)
    fingerprints: list[Fingerprint]


class Encoder(Section):
    """Give the relevance, the speed and the size of an encoder, or of its matching head.

    Rates are per second, in the fastest quarter of the batches (see
    cir.text_search.scoring.encoder_speed). `images_per_second_decoded` includes decoding, from the
    file to the encoder's pixels, which does not overlap with encoding. `queries_per_second`
    includes tokenizing and the matching head's time. Memory is in MB: the peak of the process,
    that of Python and the libraries before the encoder was loaded, and what torch allocated on a
    GPU (None without one).
    """

    name: str
    ranking: str
    ndcg_at_10: Share = Field(alias="ndcg@10")
    ndcg_interval: Interval = Field(alias="ndcg@10_interval95")
    r_at_10: Share = Field(alias="r@10")
    mrr: Share
    images_per_second: PositiveFloat
    images_per_second_decoded: PositiveFloat
    queries_per_second: PositiveFloat
    peak_memory_mb: PositiveFloat
    memory_before_mb: PositiveFloat
    gpu_memory_mb: PositiveFloat | None = None
    parameters: NonNegativeInt
    dim: PositiveInt
    image_size: tuple[PositiveInt, PositiveInt]
    queries: PositiveInt
    gallery_size: PositiveInt
    device: str
    protocol: TextProtocol


class Failure(Section):
    """Name an encoder that could not be measured, and the reason."""

    name: str
    reason: str


class EncodersMetrics(MetricsFile):
    """Give a row for every ranking, in the order of the params, and the failures."""

    encoders: list[Encoder] = Field(min_length=1)
    failures: list[Failure]
