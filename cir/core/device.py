"""Choose the device for models, and the precision and the threads in which they compute there."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeVar

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Inference = Literal["auto", "fp32", "bf16"]
Item, Result = TypeVar("Item"), TypeVar("Result")


def inference_precision(asked: Inference, device: torch.device) -> Literal["fp32", "bf16"]:
    """Return the precision of inference: "auto" is bf16 on a GPU that has it, else fp32."""
    if asked != "auto":
        return asked
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_bf16 else "fp32"


def in_precision(precision: str, device: torch.device) -> AbstractContextManager:
    """Compute in this precision where no gradients are recorded; training chooses its own.

    bf16 is torch's autocast: weights stay in fp32, products are computed in bf16.
    """
    if precision == "fp32" or torch.is_grad_enabled():
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def with_precision(fingerprint: str, precision: str) -> str:
    """Name the precision at the end of a model's fingerprint, unless it is fp32."""
    return fingerprint if precision == "fp32" else f"{fingerprint}-{precision}"


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int = 0
) -> Iterator[Result]:
    """Yield `work(item)` of every item, in order, from threads two items ahead of the reader.

    Threads suffice, as Pillow decodes and torch computes without Python's lock. On a CPU one batch
    per thread is faster than all threads on one batch, which wait for each other after every layer
    and for what Python does. On a GPU, threads decode while the batch of another is computed (see
    cir.retrieval.ranking.device_batches). `workers` 0: as many threads as torch computes with.
    """
    assert workers >= 0
    threads = torch.get_num_threads()
    workers = workers or threads
    share = max(1, threads // workers)
    waiting: deque[Future] = deque()
    try:
        with ThreadPoolExecutor(workers, "batch", torch.set_num_threads, (share,)) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) > workers + 2:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:  # after an error or Ctrl-C, only started work ends
                    future.cancel()
    finally:
        torch.set_num_threads(threads)  # the setting is that of the whole process
