"""Measure composers: an epoch on cached features, and composing compared with encoding."""

import time
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
import torch
from torch import nn

from cir.composers import PLAIN_ARITHMETIC, create
from cir.composers.model import EncodedComposer
from cir.composers.params import CorrectedArithmeticParams, TIRGParams
from cir.core.records import Triplet
from cir.encoders import Encoder
from cir.training.composer_alone import CachedBatches, CachedObjective
from cir.training.composition import CompositionBatches, CompositionObjective
from cir.training.encoded_split import encode_split
from cir.training.losses import InfoNCE
from cir.training.shared.batches import plan_batches
from speed.workload import Workload

_COMPOSER = TIRGParams(name="tirg", text="sentence")
_OURS = CorrectedArithmeticParams(
    **PLAIN_ARITHMETIC.model_dump(exclude={"name"}),
    name="corrected_arithmetic",
    text="none",
    hidden=512,
)
_BATCH = 64


class _Decoded:
    """The workload's preprocessed images by id, so that no measured time includes decoding."""

    def __init__(self, encoder: Encoder, workload: Workload):
        images = [encoder.preprocess(image) for image in workload.images]
        self._pixels = {str(row): image for row, image in enumerate(images)}

    def get(self, names: Sequence[str]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self._pixels[name] for name in names]))


def epoch_speed_up(
    encoder: Encoder, workload: Workload, encoder_learns: bool, repeats: int = 3
) -> float:
    """Return how many times longer an epoch takes with the encoder in the loop than without.

    Without it, the epoch runs on cached features. Both ways take the same batches, by turns, and
    the result is the median of the ratios. A turn on cached features is ten epochs, because one is
    over before the processor is warm.

    Args:
        encoder: encodes images and names.
        workload: the queries.
        encoder_learns: whether the encoder in the loop is trained, as in finetune_encoder, or
            frozen and only run forwards.
        repeats: the number of turns.
    """
    ids = [str(row) for row in range(len(workload.images))]
    targets = islice(cycle(ids), 1, len(ids) + 1)
    triplets = [
        Triplet(name, name, edit.text, target)
        for name, edit, target in zip(ids, workload.edits, targets, strict=True)
    ]
    pixels, edits = _Decoded(encoder, workload), workload.edits
    plan = plan_batches(ids, _BATCH, len(ids) // _BATCH, seed=0)
    composer = create(_COMPOSER, encoder.dim, encoder.text_dim)
    criterion = InfoNCE.starting_at(0.07)
    split = encode_split(encoder, pixels, ids, triplets, edits, {})
    cached = CachedObjective(composer, criterion, set_weight=0.0)
    in_loop = CompositionObjective(EncodedComposer(encoder, composer), 0.0, 0.0, criterion)
    trained = [weight.requires_grad for weight in encoder.parameters()]
    encoder.requires_grad_(encoder_learns)
    ratios = []
    for _ in range(repeats):
        fast = _epoch(cached, CachedBatches(split, composer.text, plan * 10, 0)) / 10
        slow = _epoch(in_loop, CompositionBatches(pixels, triplets, edits, {}, plan, 0))
        ratios.append(slow / fast)
    for weight, was in zip(encoder.parameters(), trained, strict=True):
        weight.requires_grad_(was)
    return float(np.median(ratios))


def _epoch(objective: nn.Module, batches) -> float:
    """Return the seconds of one epoch: forward, backward and optimiser step for each batch."""
    weights = [w for w in objective.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    objective.train()
    started = time.perf_counter()
    for step in range(len(batches)):
        sum(objective(batches[step]).values()).backward()
        optimiser.step()
        optimiser.zero_grad()
    seconds = time.perf_counter() - started
    objective.eval()
    return seconds


@torch.inference_mode()
def share_of_encoding(encoder: Encoder, workload: Workload, repeats: int = 5) -> float:
    """Return the time of our learned composer as a share of encoding images and names, in batches.

    The two run by turns; the result is the median of the ratios.
    """
    images = [encoder.preprocess(image) for image in workload.images]
    pixels = torch.from_numpy(np.stack(images)).split(_BATCH)
    edits = [workload.edits[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    composer = create(_OURS, encoder.dim, encoder.text_dim).eval()
    model, ratios = EncodedComposer(encoder, composer), []
    for _ in range(repeats):
        started = time.perf_counter()
        encoded = [
            (encoder.encode_images(some), model.encode_edits(of_them))
            for some, of_them in zip(pixels, edits, strict=True)
        ]
        composing = time.perf_counter()
        for image, edit in encoded:
            composer(image, edit)
        ratios.append((time.perf_counter() - composing) / (composing - started))
    return float(np.median(ratios))
