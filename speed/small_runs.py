"""Measure the smallest runs: the smoke pipeline, and a lone request through the batcher."""

import asyncio
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from cir.app.batching import Batcher, Worker
from tools import smoke

_IMPORTS = "import cir, torch, transformers, datasets, open_clip"
_STEP = 0.001  # seconds
_REQUESTS = 300


def smoke_over_imports() -> float:
    """Compare the smoke pipeline with the imports that its stages need.

    Returns the processor time of `dvc repro` at smoke size, divided by the processor time of as
    many Python processes as it ran stages, each of which only imports the libraries.
    """
    with TemporaryDirectory() as folder:
        project = smoke.clone(Path(folder) / "project")
        smoke.choose(project)
        reproduction = smoke.repro(project)
    began = _busy()
    for _ in range(3):
        subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
    return reproduction.busy / ((_busy() - began) / 3 * len(reproduction.stages))


def batcher_over_direct() -> float:
    """Return the time of lone requests through the batcher, divided by direct calls of its step.

    The step takes a millisecond. A batcher that waits for more requests would multiply the time.
    """
    worker = Worker("benchmark")
    batcher = Batcher(_step, worker)

    async def ask() -> float:
        began = time.perf_counter()
        for number in range(_REQUESTS):
            await batcher.ask(number)
        return time.perf_counter() - began

    batched = asyncio.run(ask())
    worker.close()
    began = time.perf_counter()
    for number in range(_REQUESTS):
        _step([number])
    return batched / (time.perf_counter() - began)


def _step(items: list[int]) -> list[int]:
    time.sleep(_STEP)
    return items


def _busy() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
