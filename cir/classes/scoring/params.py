"""Declare the params of scoring class-level retrieval."""

from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from cir.classes.scoring.results import Graph
from cir.core.errors import UserError
from cir.core.params import Section, Share
from cir.retrieval.refine import Settings


class Averaging(Section):
    """Params of average query expansion; see cir.retrieval.refine.expand."""

    neighbours: PositiveInt
    alpha: ClassVar[float] = 0.0


class AlphaWeighting(Section):
    """Params of α query expansion; see cir.retrieval.refine.expand."""

    neighbours: PositiveInt
    alpha: NonNegativeFloat


class Reranking(Section):
    """Params of k-reciprocal re-ranking, by each of `graphs`; see cir.retrieval.refine.Settings."""

    k1: PositiveInt
    k2: PositiveInt
    weight: Share
    graphs: list[Graph]

    @model_validator(mode="after")
    def _fit_together(self) -> "Reranking":
        if self.k2 > self.k1:
            raise ValueError(f"k2 must be at most k1, got {self.k2} and {self.k1}")
        if len(set(self.graphs)) < len(self.graphs):
            raise ValueError(f"graphs must differ, got {', '.join(self.graphs)}")
        return self

    def create(self) -> Settings:
        """Build the settings that the graphs take."""
        return Settings(self.k1, self.k2, self.weight)


class ScoreClasses(Section):
    """Params of scoring; a refinement that is None is not measured.

    `resamples` is the number of resamples of the bootstrap, `answers` the number of answers to each
    query in the ranking file, and `rows` the number of rows of the sheet.
    """

    average_expansion: Averaging | None
    alpha_expansion: AlphaWeighting | None
    reranking: Reranking | None
    resamples: PositiveInt
    answers: PositiveInt
    rows: PositiveInt

    def require(self, images: int) -> None:
        """Raise UserError if the gallery has too few images for re-ranking."""
        if self.reranking and self.reranking.k1 >= images:
            raise UserError(
                f"score_classes.reranking.k1 must be less than the {images} images of the gallery, "
                f"got {self.reranking.k1}; or set score_classes.reranking to null"
            )
