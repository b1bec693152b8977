"""Measure how often queries find their target if their sentences are typed in other ways."""

from collections.abc import Sequence

import torch

from cir.core.progress import progress
from cir.core.records import Edit
from cir.edits.reading.disturbances import DISTURBANCES, disturb
from cir.retrieval.results import Disturbed
from cir.retrieval.retriever import Retriever
from cir.retrieval.task import Task, compose_queries, encode_edits


def measure_disturbed(
    retriever: Retriever,
    task: Task,
    features: torch.Tensor,
    edits: Sequence[Edit],
    accuracy: float,
) -> list[Disturbed]:
    """Measure accuracy under every disturbance of `cir.edits.reading.disturbances`.

    Args:
        features: those of the queries' references, float [Q, D], not normalised.
        edits: of each query, the true one if the data gives it, else the tagged one; its names are
            what the disturbances go around.
        accuracy: that of the sentences as they are.
    """
    rows = []
    kinds = progress(list(DISTURBANCES), len(DISTURBANCES), "disturbing the sentences", "ways")
    for what in kinds:
        texts = [
            disturb(what, triplet.text, (*edit.add, *edit.remove), number)
            for number, (triplet, edit) in enumerate(zip(task.triplets, edits, strict=True))
        ]
        read = encode_edits(retriever, retriever.tagger.tag(texts))
        correct = task.rank(compose_queries(retriever, features, read)).correct
        found = float(correct.mean())
        of_clean = found / accuracy if accuracy else 0.0
        rows.append(Disturbed(what=what, queries=len(texts), accuracy=found, of_clean=of_clean))
    return rows
