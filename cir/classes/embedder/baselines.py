"""Provide a baseline for the class embedder (colour histograms), and test-time flip averaging."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.classes.embedder.embedder import ClassEmbedder
from cir.core import files


class FlipAveraged:
    """Sums the unit vectors of an image and of its mirror image, as test-time augmentation.

    Args:
        embedder: the encoder of both.
    """

    def __init__(self, embedder: ClassEmbedder):
        self._embedder = embedder
        self.device = embedder.device
        self.image_size = embedder.image_size

    def fingerprint(self) -> str:
        """Return a digest of the embedder and of the flip."""
        return files.fingerprint(self._embedder.fingerprint(), "flip")

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """See ClassEmbedder.preprocess."""
        return self._embedder.preprocess(image)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → vectors [B, D], not normalised."""
        both = self._embedder.encode_images(torch.cat([pixels, pixels.flip(-1)]))
        return sum(functional.normalize(both, dim=1).chunk(2))


class ColourHistogram:
    """Encodes how often each colour occurs in an image, without regard to shape.

    Histograms of coarse cells of colour: Swain and Ballard, "Color Indexing", IJCV 1991. The
    vector holds the square roots of the shares, so the cosine of two vectors is the Bhattacharyya
    coefficient of their histograms.

    Args:
        bins: the number of cells along each of red, green and blue.
        size: the side in pixels of the square to which images are resized.
    """

    device = torch.device("cpu")

    def __init__(self, bins: int = 8, size: int = 64):
        self._bins, self._size = bins, size
        self.image_size = (size, size)

    def fingerprint(self) -> str:
        """Return a digest of the settings."""
        return files.fingerprint("colour histogram", self._bins, self._size)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Resize a whole RGB image to a square: uint8 [3, S, S]."""
        image = image.resize((self._size, self._size), Image.Resampling.BOX)
        return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, S, S] → vectors [B, bins³] of length one."""
        cells = pixels.long().flatten(2) * self._bins // 256
        codes = (cells[:, 0] * self._bins + cells[:, 1]) * self._bins + cells[:, 2]
        counts = torch.zeros(len(pixels), self._bins**3)
        counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=torch.float32))
        return (counts / codes.shape[1]).sqrt()
