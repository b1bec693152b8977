"""Declare the params of embedding a gallery."""

from pydantic import NonNegativeInt, PositiveInt

from cir.core.params import Section


class EmbedGallery(Section):
    """`batch_size`: images encoded at once. `workers`: threads that decode, and without a GPU
    share a batch; 0 starts one per core."""

    batch_size: PositiveInt
    workers: NonNegativeInt
