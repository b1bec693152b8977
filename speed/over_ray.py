"""Compare embedding on a local Ray cluster with the local run at equal threads.

python -m speed.over_ray                   8,000 drawn images
python -m speed.over_ray --images 50000

Each way embeds a small and a large gallery. The rate of the larger part alone leaves out what it
costs to start; processor time holds on a busy machine. It needs requirements-scale.txt.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import psutil
import torch

from cir.core import files
from cir.encoders import Encoder
from cir.images import shards
from cir.retrieval.ranking import over_ray
from cir.retrieval.ranking.embedding import embed
from speed.workload import load_retriever, load_workload

SMALL = 0.2  # of the images
SHARDS = 16  # of the large gallery


@dataclass
class Run:
    """The seconds of a run, the processor's seconds of all its processes, and their peak memory."""

    seconds: float = 0.0
    processor: float = 0.0
    peak: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8_000)
    count = parser.parse_args().images
    encoder = load_retriever(64)[0].encoder
    encoded = load_workload(512)[0].encoded
    print(f"{torch.get_num_threads()} threads, {count:,} drawn images in {SHARDS} shards")
    runs: dict[str, tuple[Run, Run]] = {}
    results = set()
    with TemporaryDirectory() as place:
        small = _gallery(Path(place, "small"), encoded, int(SMALL * count), count // SHARDS)
        large = _gallery(Path(place, "large"), encoded, count, count // SHARDS)
        for name in ("", "ray"):
            os.environ[over_ray.VARIABLE] = name
            out = Path(place, f"out-{name}")
            runs[name] = _measured(encoder, small, out), _measured(encoder, large, out)
            results.add(files.fingerprint(out))
    _show(count, runs)
    print("the vectors are " + ("equal bit for bit" if len(results) == 1 else "NOT equal"))


def _show(count: int, runs: dict[str, tuple[Run, Run]]) -> None:
    print(f"\n{'':30}{'local':>10}{'Ray':>10}{'Ray / local':>14}")
    lines = {}
    for name, (short, long) in runs.items():
        more = (1 - SMALL) * count
        steady = more / (long.seconds - short.seconds)
        lines[name] = {
            "images/s, whole run": count / long.seconds,
            "images/s, without the start": steady,
            "images a processor second": count / long.processor,
            "the same without the start": more / (long.processor - short.processor),
            "seconds of the start": long.seconds - count / steady,
            "peak memory, MB": long.peak / 2**20,
        }
    for what, local in lines[""].items():
        ray = lines["ray"][what]
        share = "" if what.startswith("seconds") else f"{ray / local:>14.0%}"
        print(f"{what:30}{local:>10,.0f}{ray:>10,.0f}{share}")


def _gallery(
    folder: Path, encoded: list[bytes], count: int, in_shard: int
) -> tuple[shards.Shard, ...]:
    rows = ((f"{n:06d}", encoded[n % len(encoded)], ()) for n in range(count))
    shards.write(folder, rows, [], {}, in_shard)
    return shards.ImageShards(folder).shards()


def _measured(encoder: Encoder, gallery: Sequence[shards.Shard], out: Path) -> Run:
    """Embed a gallery, while a thread watches this process and all below it."""
    run, ended = Run(), Event()
    with ThreadPoolExecutor(1) as watcher:
        watched = watcher.submit(_watch, run, ended)
        started = time.perf_counter()
        try:
            embed(encoder, gallery, out, out.with_name("work"))
        finally:
            ended.set()
        run.seconds = time.perf_counter() - started
        watched.result()
    return run


def _watch(run: Run, ended: Event) -> None:
    """Note the processor time and the peak memory; pages that processes share count once."""
    own = psutil.Process()
    before, used = sum(own.cpu_times()[:2]), {}
    while not ended.wait(3.0):  # a look at shared pages takes time itself
        memory = 0
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):  # it has ended
                memory += process.memory_full_info().pss
                used[process.pid] = sum(process.cpu_times()[:2])
        run.peak = max(run.peak, memory)
    run.processor = sum(used.values()) - before


if __name__ == "__main__":
    main()
