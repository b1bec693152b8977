"""Declare metrics/retrieval.json: the score stage writes it and the report reads it."""

from pydantic import Field, NonNegativeInt, PositiveInt

from cir.core.metrics_files import Fingerprint, MetricsFile
from cir.core.params import Section, Share


class Figures(MetricsFile):
    """Accuracy (top-1) with its 95% bootstrap interval, recall@5, recall@10 and the mean
    reciprocal rank of a ranking."""

    accuracy: Share
    interval95: tuple[Share, Share]
    recall_at_5: Share = Field(alias="recall@5")
    recall_at_10: Share = Field(alias="recall@10")
    mrr: Share


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


class Metrics(Figures):
    """The figures of the first result, the headline, and the lists that explain them."""

    novel_accuracy: Share | None = None
    results: list[Result] = Field(min_length=1)
    by_kind: list[Kind]
    by_objects: list[Objects]
    errors: list[Cause]
    absent: list[Absent]
    fingerprints: list[Fingerprint]

    @property
    def headline(self) -> Result:
        """The result for the whole gallery, with the edits as the tagger reads them."""
        return self.results[0]

    def result(self, what: str) -> Result | None:
        """Return the result named `what`, or None if the data source does not allow it."""
        return next((result for result in self.results if result.what == what), None)
