"""Encode batches of images on a device: one at a time on a GPU, in halves if one does not fit."""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch

from cir.core.errors import UserError
from cir.core.progress import say


class Encoding(Protocol):
    """The methods of an encoder that encoding batches needs."""

    device: torch.device

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 [B, 3, H, W] into features [B, D], not normalised."""


class DeviceBatches:
    """Encodes batches of images that several threads have prepared.

    On a GPU a single further thread queues the work of all. So the GPU holds the layers of one
    batch, however many threads there are; and cuDNN, which plans its convolutions separately in
    each thread that calls it, plans them once. While the GPU still computes, the next batch is
    copied from pinned memory. On a processor the threads compute side by side. A batch that does
    not fit into the memory of the GPU is halved, and so are all after it.
    """

    def __init__(self, encoder: Encoding):
        self._encoder = encoder
        self._consumer = ThreadPoolExecutor(1, "device")  # starts its thread when it is needed
        self._most: int | None = None  # images that fit, as far as is known
        self._copying: torch.cuda.Stream | None = None

    def __call__(self, pixels: np.ndarray) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W], B > 0, as features [B, D] on the device.

        Raises UserError if a single image does not fit into the memory of the GPU.
        """
        waiting = torch.from_numpy(pixels)
        if self._encoder.device.type != "cuda":
            return self._in_parts(waiting)
        return self._consumer.submit(self._in_parts, _pinned(waiting)).result()

    @torch.inference_mode()
    def _in_parts(self, pixels: torch.Tensor) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        start = 0
        while start < len(pixels):
            part = pixels[start : start + (self._most or len(pixels))]
            features = self._tried(part)
            if features is None:
                self._halve(len(part))
            else:
                parts.append(features)
                start += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _tried(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Return the features, or None if they need too much memory; layers are freed by then."""
        try:
            return self._encoder.encode_images(self._copied(pixels))
        except torch.OutOfMemoryError:
            return None

    def _halve(self, size: int) -> None:
        device = self._encoder.device
        if size == 1:
            raise UserError(
                f"one image does not fit into the memory of {device} beside the model: end the "
                "other programs that use it, or take a smaller model"
            )
        self._most = size // 2
        torch.cuda.empty_cache()
        say(f"{size} images do not fit into the memory of {device} at once: going on with half")

    def _copied(self, pixels: torch.Tensor) -> torch.Tensor:
        """Copy a batch to the device; to a GPU beside the computing of the batch before."""
        device = self._encoder.device
        if device.type != "cuda":
            return pixels.to(device)
        if self._copying is None:
            self._copying = torch.cuda.Stream(device)
        with torch.cuda.stream(self._copying):
            copied = pixels.to(device, non_blocking=True)
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(self._copying)
        copied.record_stream(computing)  # its memory is not used again before it was computed
        return copied


def _pinned(pixels: torch.Tensor) -> torch.Tensor:
    """Return the pixels in memory from which a GPU copies without waiting for the processor."""
    return pixels.pin_memory()
