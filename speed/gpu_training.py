"""Measure training on a GPU: the head on kept features, and a large batch in chunks."""

import time

import numpy as np
import torch
from PIL import Image

from cir.composers import PLAIN_ARITHMETIC, ArithmeticComposer
from cir.composers.model import EncodedComposer
from cir.core.device import DEVICE
from cir.core.records import Edit, Triplet
from cir.datasets.scenes import all_names
from cir.encoders import Encoder
from cir.training.composition import CompositionBatch, CompositionBatches, CompositionObjective
from cir.training.shared.batches import Pixels, TrunkFeatures
from cir.training.shared.parameter_groups import all_layers, encoder_groups, head

_STEPS = 8


class _Noise:
    """Draws an image of coarse noise for every id."""

    def __init__(self, encoder: Encoder):
        self._size = encoder.image_size[::-1]

    def image(self, name: str) -> Image.Image:
        noise = np.random.default_rng(int(name)).integers(0, 256, (12, 12, 3), np.uint8)
        return Image.fromarray(noise).resize(self._size)


def head_alone(encoder: Encoder, batch: int) -> dict[str, float]:
    """Return how much longer an epoch takes with the frozen towers in the loop than without.

    The images of the loop are prepared before; the features that are kept are looked up within.
    """
    triplets, edits, objects = _triplets(_STEPS * batch)
    plan = list(np.arange(_STEPS * batch).reshape(_STEPS, batch))
    given = triplets, edits, objects, plan, 0
    in_loop = list(CompositionBatches(Pixels(_Noise(encoder), encoder), *given))
    kept = CompositionBatches(TrunkFeatures(_Noise(encoder), encoder), *given)
    model = EncodedComposer(encoder, ArithmeticComposer(PLAIN_ARITHMETIC))
    groups = encoder_groups(encoder, head(encoder), 1e-4, 0.0)
    seconds = []
    for batches, names_stay in ((in_loop, False), (kept, True)):
        objective = CompositionObjective(model.train(), 0.5, 0.5, names_stay=names_stay)
        first, later = (_epoch(objective, groups, batches) for _ in range(2))
        seconds.append((first, later))
    model.eval()
    (_, loop), (filling, without) = seconds
    return {
        f"head alone, batches of {batch}: an epoch in the loop, images/s": (
            2 * len(triplets) / loop
        ),
        "the same / an epoch on kept features": loop / without,
        "the first epoch, which fills them / an epoch in the loop": filling / loop,
    }


def in_chunks(encoder: Encoder, together: int, chunk: int) -> dict[str, float]:
    """Return rate and peak memory of a step of all weights on many triplets, in chunks."""
    triplets, edits, objects = _triplets(together)
    given = triplets, edits, objects
    pixels = Pixels(_Noise(encoder), encoder)
    model = EncodedComposer(encoder, ArithmeticComposer(PLAIN_ARITHMETIC)).train()
    objective = CompositionObjective(model, 0.5, 0.5, chunk=chunk)
    groups = encoder_groups(encoder, all_layers(encoder, 1.0), 1e-5, 0.0)
    # A small step warms up and makes the optimiser's state.
    small = min(together, 2 * chunk)
    plans = [np.arange(small)], [np.arange(together)]
    warm, whole = (list(CompositionBatches(pixels, *given, plan, 0)) for plan in plans)
    optimiser = torch.optim.AdamW(groups, fused=True)
    _epoch(objective, groups, warm, optimiser)
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = _epoch(objective, groups, whole, optimiser)
    model.eval().requires_grad_(False)
    figures = {
        f"all weights, {together} triplets in chunks of {chunk}, images/s": (
            2 * together / seconds
        ),
    }
    if DEVICE == "cuda":
        figures["the same: peak memory, GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return figures


def _triplets(count: int) -> tuple[list[Triplet], list[Edit], dict[str, tuple[str, ...]]]:
    """Return triplets of different images, their edits, and the objects of the images."""
    names, rng = all_names(), np.random.default_rng(0)
    objects = {
        str(n): tuple(names[row] for row in rng.choice(len(names), 3, replace=False))
        for n in range(2 * count)
    }
    triplets, edits = [], []
    for n in range(count):
        reference, target = str(2 * n), str(2 * n + 1)
        text = f"Swap the {objects[reference][0]} for a {objects[target][0]}."
        triplets.append(Triplet(str(n), reference, text, target))
        edits.append(Edit(text, objects[target][:1], objects[reference][:1]))
    return triplets, edits, objects


def _epoch(
    objective: CompositionObjective,
    groups: list[dict],
    batches: CompositionBatches | list[CompositionBatch],
    optimiser: torch.optim.Optimizer | None = None,
) -> float:
    """Return the seconds of one epoch, in bf16 on a GPU as `fit` computes it there."""
    optimiser = optimiser or torch.optim.AdamW(groups, fused=True)
    on_gpu = DEVICE == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    for step in range(len(batches)):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=on_gpu):
            losses = objective(batches[step])
        sum(losses.values()).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started
