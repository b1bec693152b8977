"""Choose how a Qdrant server keeps a collection: by its size, and by the nodes of the cluster."""

from dataclasses import dataclass
from typing import Literal

from qdrant_client import models

Quantisation = Literal["none", "scalar", "binary"]

# Bytes of float32 vectors from which on they leave memory, and from which on they are binary there.
_SCALAR_FROM, _BINARY_FROM = 4_000_000_000, 64_000_000_000
_BINARY_DIM = 512  # with fewer bits, too many vectors look alike
_SHARDS_OF_A_NODE = 2  # so that a cluster may grow to twice its nodes without a new collection
_NODES_FOR_COPIES = 3  # Qdrant needs a majority of nodes to go on


@dataclass(frozen=True)
class Capacity:
    """How a collection is kept.

    Attributes:
        quantisation: the form in which vectors are searched in memory. "scalar" is int8, a quarter
            of float32; "binary" is one bit a number, a thirty-second.
        on_disk: whether the float32 vectors, which rescore what is found, stay on disk.
        oversampling: how many times more candidates than hits are rescored.
    """

    quantisation: Quantisation
    on_disk: bool
    oversampling: float


def capacity(images: int, dim: int) -> Capacity:
    """Choose the form of a collection of `images` vectors of length `dim`."""
    size = 4 * images * dim
    if size < _SCALAR_FROM:
        return Capacity("none", on_disk=False, oversampling=1.0)
    if size < _BINARY_FROM or dim < _BINARY_DIM:
        return Capacity("scalar", on_disk=True, oversampling=2.0)
    return Capacity("binary", on_disk=True, oversampling=4.0)


def shards_and_copies(nodes: int) -> tuple[int, int]:
    """Return the number of shards, and of copies of each, for a cluster of so many nodes."""
    if nodes == 1:
        return 1, 1
    return _SHARDS_OF_A_NODE * nodes, 2 if nodes >= _NODES_FOR_COPIES else 1


def quantisation(chosen: Capacity) -> models.QuantizationConfigDiff:
    """Return Qdrant's form of a quantisation that is not "none"."""
    if chosen.quantisation == "scalar":
        int8 = models.ScalarType.INT8
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=int8, quantile=0.99, always_ram=True)
        )
    return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
