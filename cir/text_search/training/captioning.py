"""Caption the images of a source."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from cir.core.errors import UserError
from cir.core.progress import progress, say
from cir.datasets.sources import ImageSource
from cir.images import decoding as images
from cir.text_search.training.captioner import Captioner

Captioned = tuple[str, list[str]]


def caption_images(
    captioner: Captioner,
    source: ImageSource,
    paths: Sequence[str],
    each: int,
    temperature: float,
    seed: int,
    batch_size: int,
) -> list[Captioned]:
    """Return the captions of the images, in order; unreadable images are named and left out.

    An image's captions are different and not empty. Raises UserError if no image can be read.
    """
    problems: list[str] = []
    captioned: list[Captioned] = []
    batches = range(0, len(paths), batch_size)
    shown = progress(
        batches,
        len(paths),
        "captioning",
        "images",
        units_in=lambda start: len(paths[start : start + batch_size]),
    )
    for number, start in enumerate(shown):
        read = list(_read(captioner, source, paths[start : start + batch_size], problems))
        if not read:
            continue
        pixels = torch.from_numpy(np.stack([image for _, image in read]))
        texts = captioner.captions(pixels, each, temperature, seed + number)
        for (path, _), own in zip(read, texts, strict=True):
            captioned.append((path, [text for text in dict.fromkeys(own) if text]))
    for problem in problems:
        say(f"left out: {problem}")
    if paths and not captioned:
        raise UserError(f"none of the {len(paths)} images of {source.name} can be read")
    return captioned


def _read(
    captioner: Captioner, source: ImageSource, paths: Sequence[str], problems: list[str]
) -> Iterator[tuple[str, np.ndarray]]:
    for path in paths:
        try:
            image = images.decode(source.read(path), path)
        except UserError as problem:
            problems.append(str(problem))
            continue
        yield path, captioner.encoder.preprocess(image)
