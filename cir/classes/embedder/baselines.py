"""What the class-level embedder is held against, and what can be done to it without training."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from cir.classes.embedder.embedder import ClassEmbedder
from cir.core import files


class FlipAveraged:
    """Test-time augmentation: the sum of an image's unit vector and its mirror image's.

    Args:
        embedder: whose vectors they are.
    """

    def __init__(self, embedder: ClassEmbedder):
        self._embedder = embedder
        self.device = embedder.device

    def fingerprint(self) -> str:
        """A digest of the embedder and of what is done with it."""
        return files.fingerprint(self._embedder.fingerprint(), "flip")

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """See ClassEmbedder.preprocess."""
        return self._embedder.preprocess(image)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [B, 3, H, W] → vectors [B, D], not normalised."""
        both = self._embedder.encode_images(torch.cat([pixels, pixels.flip(-1)]))
        return sum(functional.normalize(both, dim=1).chunk(2))


class ColourHistogram:
    """How often each colour occurs: the retriever that knows nothing of shape.

    The square root of the shares, so that the cosine of two histograms is their Bhattacharyya
    coefficient. Histograms of coarse cells of colour: Swain and Ballard, "Color Indexing",
    IJCV 1991.

    Args:
        bins: cells along each of red, green and blue.
        size: pixels of the square to which an image is brought.
    """

    device = torch.device("cpu")

    def __init__(self, bins: int = 8, size: int = 64):
        self._bins, self._size = bins, size

    def fingerprint(self) -> str:
        """A digest of the settings."""
        return files.fingerprint("colour histogram", self._bins, self._size)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """The whole RGB image, brought to a square: uint8 [3, S, S]."""
        image = image.resize((self._size, self._size), Image.Resampling.BOX)
        return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [B, 3, S, S] → vectors [B, bins³], of length one."""
        cells = pixels.long().flatten(2) * self._bins // 256
        codes = (cells[:, 0] * self._bins + cells[:, 1]) * self._bins + cells[:, 2]
        counts = torch.zeros(len(pixels), self._bins**3)
        counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=torch.float32))
        return (counts / codes.shape[1]).sqrt()
