"""Compare variants of the arithmetic composer on one trained encoder."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from cir.composers import PLAIN_ARITHMETIC, ArithmeticComposer
from cir.core.records import Edit
from cir.retrieval.retriever import Retriever
from cir.retrieval.task import Task

VARIANTS: Mapping[str, Mapping[str, object]] = {
    "nothing normalised, weights 1": {},
    "image normalised": {"normalise_image": True},
    "objects normalised": {"normalise_objects": True},
    "both normalised": {"normalise_image": True, "normalise_objects": True},
    "added half": {"added_weight": 0.5},
    "added double": {"added_weight": 2.0},
    "removed half": {"removed_weight": 0.5},
    "removed double": {"removed_weight": 2.0},
    "image half": {"image_weight": 0.5},
}


@torch.inference_mode()
def compare_arithmetic(
    retriever: Retriever, features: torch.Tensor, task: Task, edits: Sequence[Edit]
) -> list[dict[str, object]]:
    """Return the accuracy of each variant with the trained encoder.

    `features` are those of the queries' references, float [Q, D], not normalised.

    The encoder was trained with one variant, "as trained", which has an advantage over the others.
    So the table shows what can be changed after training, not what is best to train with. The
    protocol is that of the headline.
    """
    composers = {
        "as trained": retriever.model.composer,
        **{
            name: ArithmeticComposer(PLAIN_ARITHMETIC.model_copy(update=changes))
            for name, changes in VARIANTS.items()
        },
    }
    size = retriever.batch_size
    queries: dict[str, list[np.ndarray]] = {name: [] for name in composers}
    for start in range(0, len(task.triplets), size):
        image = features[start : start + size].to(retriever.encoder.device)
        edit = retriever.model.encode_edits(edits[start : start + size])
        for name, composer in composers.items():
            query = functional.normalize(composer(image, edit), dim=1)
            queries[name].append(query.float().cpu().numpy())
    return [
        {"variant": name, "accuracy": float(task.rank(np.concatenate(parts)).correct.mean())}
        for name, parts in queries.items()
    ]
