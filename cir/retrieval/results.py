"""Declare metrics/retrieval.json, which the score stage writes and the report reads, and the file
that `cir evaluate` writes."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from cir.core.metrics_files import Fingerprint, MetricsFile
from cir.core.params import Section, Share

Interval = tuple[Share, Share]


class Figures(MetricsFile):
    """Accuracy (top-1), recall@5, recall@10 and the mean reciprocal rank of a ranking.

    Each has its 95% bootstrap interval; `interval95` is that of accuracy. Older files have no other
    interval.
    """

    accuracy: Share
    interval95: Interval
    recall_at_5: Share = Field(alias="recall@5")
    recall_at_5_interval95: Interval | None = Field(None, alias="recall@5_interval95")
    recall_at_10: Share = Field(alias="recall@10")
    recall_at_10_interval95: Interval | None = Field(None, alias="recall@10_interval95")
    mrr: Share
    mrr_interval95: Interval | None = None


class Result(Figures):
    """The figures of one ranking, named `what`, with its protocol.

    `protocol` is what cir.retrieval.ranking.protocol.Protocol.to_dict gives.
    """

    what: str
    queries: PositiveInt
    gallery_size: PositiveInt
    protocol: dict[str, str | bool]


class _Group(Section):
    queries: PositiveInt
    accuracy: Share


class Kind(_Group):
    """Accuracy of the queries that add and remove the same numbers of objects, such as "+2 -1"."""

    kind: str
    added: NonNegativeInt
    removed: NonNegativeInt


class Objects(_Group):
    """Accuracy of the queries whose edits name the same number of objects."""

    objects: NonNegativeInt


class Cause(Section):
    """How many queries failed for one cause."""

    cause: str
    queries: NonNegativeInt


class Absent(Section):
    """A result that the data source does not allow, and the reason."""

    what: str
    why: str


class Composition(Section):
    """How many queries need both inputs: cir.retrieval.ranking.metrics.composition_shares.

    `k`: a query is solved if its target is among the first k. `reference_kept`: whether the
    reference stays in its query's gallery. `kind`: the kind of edit, None for all queries.
    """

    k: PositiveInt
    reference_kept: bool
    kind: str | None = None
    queries: PositiveInt
    solved: Share
    edit_shortcuts: Share
    image_shortcuts: Share
    gap: Share
    gap_interval95: Interval


class NearMisses(Section):
    """How often a near miss ranks before the target, for image and edit, the reference kept.

    `what` says which images count as near misses: see cir.retrieval.near_misses. `queries` counts
    the queries that have any, and `images` the near misses of all of them. `any_ahead` is the share
    of these queries with a near miss before the target, and `mean_ahead` the mean number of near
    misses before it.
    """

    what: str
    queries: PositiveInt
    images: PositiveInt
    any_ahead: Share
    any_ahead_interval95: Interval
    mean_ahead: NonNegativeFloat


class WayOfAsking(Section):
    """The accuracy of the queries that were asked with these templates."""

    asked: str
    accuracy: Share


class Paraphrases(Section):
    """Accuracy if each edit is asked in several other ways: see cir.retrieval.paraphrases.

    `what`: all queries, or one kind of edit, whose ways are listed in `by_way`. `ways`: how many
    there are, at least. `as_written`: accuracy of the same queries with the data's own sentences.
    `mean`: accuracy over all queries and ways, with its interval for other queries. `worst` and
    `best`: accuracy if each kind of edit is asked in its worst and in its best way; `spread` is
    their difference. `deviation`: standard deviation of accuracy over the ways, within each kind.
    `every_way`: share of the queries whose target comes first in every way.
    """

    what: str
    queries: PositiveInt
    ways: PositiveInt
    as_written: Share
    mean: Share
    mean_interval95: Interval
    worst: Share
    best: Share
    spread: Share
    deviation: Share
    every_way: Share
    by_way: list[WayOfAsking] = Field(default_factory=list)
    protocol: dict[str, str | bool]


class Disturbed(Section):
    """Accuracy if the sentences are typed in another way: see cir.retrieval.disturbed.

    `of_clean` is `accuracy` as a share of that of the sentences as they are.
    """

    what: str
    queries: PositiveInt
    accuracy: Share
    of_clean: NonNegativeFloat


class _Audited(Figures):
    """The figures of the first result, all results, and what they owe to either input.

    `composition_gap` is that at k = 1 with the reference kept. Older files lack the last four.
    """

    results: list[Result] = Field(min_length=1)
    fingerprints: list[Fingerprint]
    absent: list[Absent]
    composition_gap: Share | None = None
    composition: list[Composition] = Field(default_factory=list)
    near_misses: list[NearMisses] = Field(default_factory=list)
    paraphrases: list[Paraphrases] = Field(default_factory=list)


class Metrics(_Audited):
    """metrics/retrieval.json: the first result is the headline; the lists explain it."""

    novel_accuracy: Share | None = None
    robustness: list[Disturbed] = Field(default_factory=list)
    by_kind: list[Kind]
    by_objects: list[Objects]
    errors: list[Cause]

    @property
    def headline(self) -> Result:
        """The result for the whole gallery, with the edits as the tagger reads them."""
        return self.results[0]

    def result(self, what: str) -> Result | None:
        """Return the result named `what`, or None if the data source does not allow it."""
        return next((result for result in self.results if result.what == what), None)


class KindFigures(Figures):
    """The figures of one input, or of both, for the queries of one kind of edit."""

    what: str
    reference_kept: bool
    kind: str
    queries: PositiveInt


class Problem(Section):
    """An image that could not be read, or a query whose edit is empty, by its name, and why."""

    name: str
    why: str


class Evaluation(_Audited):
    """What `cir evaluate` measures on a folder in the contest's format.

    The figures at the top, those under `edit_alone` and `image_alone` and `composition_gap` are for
    the gallery with the references kept. `model`: the folder of the encoder and its composer.
    `unreadable`: the images that could not be read. `empty_edits`: the queries in whose sentence
    the tagger found no object. `left_out`: the queries that need an unreadable image.
    """

    model: str
    queries: PositiveInt
    gallery_size: PositiveInt
    edit_alone: Figures
    image_alone: Figures
    by_kind: list[KindFigures]
    unreadable: list[Problem]
    empty_edits: list[Problem]
    left_out: list[str]


class Gain(Section):
    """The mean difference of a figure, query by query, with its 95% bootstrap interval."""

    figure: str
    difference: float
    interval95: tuple[float, float]


class ClassFigures(Section):
    """Figures of metrics/class_retrieval.json: the class embedder, or its tower before training."""

    what: str
    recall_at_1: Share = Field(alias="recall@1")
    map: Share
    queries: PositiveInt
    gallery_size: PositiveInt
    protocol: dict[str, str | bool]


class PhotoMetrics(MetricsFile):
    """metrics/photos.json: figures on photographs, each with its protocol.

    `folder` is the name of the folder of queries. `gains` are those of fine-tuning on the queries
    of the test part; `composition_gap` is that of all queries, without fine-tuning.
    """

    folder: str
    results: list[Result]
    composition_gap: Share
    gains: list[Gain]
    classes: list[ClassFigures] = Field(default_factory=list)
    fingerprints: list[Fingerprint]
