"""Measure text-to-image search, overall and by kind of query."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from cir.core.english import listed
from cir.core.errors import UserError
from cir.encoders import Encoder
from cir.encoders.paired import PairedEncoder, load_encoder
from cir.encoders.texts import encode_each_once
from cir.retrieval.ranking.metrics import bootstrap_interval, graded_figures
from cir.retrieval.ranking.ranking import TIE, HitRanking, Scores, rank_by_grade
from cir.text_search.data.queries import TextQuery, relevance_matrix
from cir.text_search.scoring.results import OfKind, Result, TextProtocol

WITH_INTERVAL = ("ndcg@10", "mrr", "map")


@dataclass(frozen=True)
class Measured:
    """A system, and its ranking for the queries, in their order.

    `told_apart` [Q] comes from the function of that name.
    """

    what: str
    protocol: TextProtocol
    ranking: HitRanking
    told_apart: np.ndarray


def measure(
    what: str,
    scores: Scores,
    queries: Sequence[TextQuery],
    ids: Sequence[str],
    protocol: TextProtocol,
    k: int = 10,
) -> Measured:
    """Rank the images for the queries.

    Args:
        what: the system's name.
        scores: see cir.retrieval.ranking.ranking.rank_by_grade; `cosine` beside it makes them.
        ids: the ids of the images.
        protocol: the protocol of the ranking.
        k: the number of images to keep for each query.

    Raises UserError for queries without a relevant answer.
    """
    require_answers(queries, protocol.least_grade)
    ranking = rank_by_grade(scores, relevance_matrix(queries, ids), k)
    return Measured(what, protocol, ranking, told_apart(scores, queries, ids, protocol.least_grade))


def told_apart(
    scores: Scores, queries: Sequence[TextQuery], ids: Sequence[str], least_grade: int
) -> np.ndarray:
    """Return the share of pairs in which an answer scores above a near miss: float [Q].

    A pair has an answer of `least_grade` or more and a near miss of the same query; a tie counts as
    a failure. The share is NaN for a query without near misses. Its mean is 1/2 for guessing, and
    for reading a query as a bag of words.
    """
    place = {name: number for number, name in enumerate(ids)}
    shares = np.full(len(queries), np.nan)
    for number, query in enumerate(queries):
        if query.near_misses:
            row = scores(slice(number, number + 1))[0]
            answers = [place[name] for name, one in query.grades.items() if one >= least_grade]
            misses = [place[name] for name in query.near_misses]
            shares[number] = (row[answers][:, None] > row[misses][None] + TIE).mean()
    return shares


def require_answers(queries: Sequence[TextQuery], least_grade: int) -> None:
    """Raise UserError for queries without an answer of `least_grade` or more."""
    if not queries:
        raise UserError("there are no queries to measure with")
    without = [one.id for one in queries if max(one.grades.values()) < least_grade]
    if without:
        raise UserError(
            f"{len(without)} of {len(queries)} queries have no answer of a grade of {least_grade} "
            f"or more, which is what counts as relevant: {listed(without)}"
        )


def result(measured: Measured, queries: Sequence[TextQuery], seed: int, resamples: int) -> Result:
    """Return the figures of a system over all queries and over each kind, in their order.

    nDCG@10, MRR and MAP have 95% bootstrap intervals over the queries.
    """
    ranking, least_grade = measured.ranking, measured.protocol.least_grade
    found = graded_figures(ranking.hit_ranks, ranking.hit_grades, least_grade)
    kinds = np.array([query.kind for query in queries])

    def summary(chosen: np.ndarray) -> dict[str, object]:
        of = {name: values[chosen] for name, values in found.items()}
        apart = measured.told_apart[chosen]
        apart = apart[~np.isnan(apart)]  # queries without near misses
        return {
            **{name: float(values.mean()) for name, values in of.items()},
            **{
                f"{name}_interval95": bootstrap_interval(of[name], seed, resamples)
                for name in WITH_INTERVAL
            },
            "queries": int(chosen.sum()),
            "told_apart": float(apart.mean()) if apart.size else None,
        }

    return Result(
        what=measured.what,
        **summary(np.full(len(queries), True)),
        gallery_size=measured.ranking.gallery_size,
        protocol=measured.protocol,
        by_kind=[
            OfKind(kind=kind, **summary(kinds == kind)) for kind in dict.fromkeys(kinds.tolist())
        ],
    )


def load_shared_space(folder: Path | str) -> Encoder:
    """Load the encoder in a folder; raises UserError if texts and images do not share a space."""
    encoder = load_encoder(folder)
    if isinstance(encoder, PairedEncoder):
        raise UserError(
            f"{folder} holds two towers with a space each, and words find images only in a space "
            "that both share"
        )
    return encoder


@torch.inference_mode()
def text_vectors(
    encoder: Encoder, texts: Sequence[str], prompt: str = "{}", batch_size: int = 128
) -> np.ndarray:
    """Encode the texts, each in the prompt → vectors float32 [Q, D] of length one."""
    asked = [prompt.replace("{}", text) for text in texts]
    features = encode_each_once(asked, encoder.encode_texts, batch_size)
    return unit_text_rows(features, asked)


def unit_text_rows(features: torch.Tensor, texts: Sequence[str]) -> np.ndarray:
    """Return the rows of `features` [Q, D] scaled to length one, float32.

    Raises UserError with the first text whose row is not finite or all zeros.
    """
    lengths = features.float().norm(dim=1)
    bad = ~lengths.isfinite() | (lengths == 0)
    if bad.any():
        raise UserError(
            f"the encoder gives {int(bad.sum())} texts vectors without a direction (all zeros, or "
            f'not finite), the first for "{texts[int(bad.nonzero()[0])]}"'
        )
    return functional.normalize(features.float(), dim=1).cpu().numpy()
