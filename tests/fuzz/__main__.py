"""Run the targets in turn for some minutes; save the first input that fails and exit with 1."""

import argparse
import faulthandler
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from cir.core.progress import Progress, progress, say
from tests.fuzz.targets import TARGETS, Target

FAILURES = Path("fuzz-failures")
_SECONDS = 60  # for one input
_BYTES = 1 << 30  # by which the memory may grow for one input


class _TooSlowError(BaseException):
    """Not an Exception, because the decoder takes every Exception for a fault of the file."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="default: the time")  # noqa: E501  # fmt: skip
    parser.add_argument("--only", action="append", help="a target; by default all of them")
    parser.add_argument("--again", type=Path, help="try one saved input again")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGALRM, _stop)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = [stack.enter_context(target(folder)) for target in TARGETS]
        if given.only:
            targets = [target for target in targets if target.name in given.only]
        if given.again:
            name = given.again.name.split("-")[0]
            (target,) = (target for target in targets if target.name == name)
            return int(not _passes(target, given.again.read_bytes(), given.again))
        return _fuzz(targets, given.minutes, given.seed)


def _fuzz(targets: Sequence[Target], minutes: float, seed: int) -> int:
    """Try inputs until the time is over or one fails; return the exit status."""
    FAILURES.mkdir(exist_ok=True)
    say(f"fuzzing for {minutes:g} minutes with seed {seed}: " + ", ".join(t.name for t in targets))
    counts: Counter[str] = Counter()
    turns = progress(_turns(targets, 60 * minutes), None, "fuzzing", "inputs")
    for number, target in turns:
        data = target.make(np.random.default_rng((seed, number)))
        place = FAILURES / f"{target.name}-{seed}-{number}"
        place.write_bytes(data)  # before it is tried: it may end this process
        if not _passes(target, data, place):
            return 1
        place.unlink()
        _count(counts, target, turns)
    with suppress(OSError):  # failures of earlier runs stay
        FAILURES.rmdir()
    say("no input failed: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return 0


def _turns(targets: Sequence[Target], seconds: float) -> Iterator[tuple[int, Target]]:
    """Yield a number and a target until the time is over; each target gets its share of time."""
    started, used, number = time.monotonic(), [0.0] * len(targets), 0
    while time.monotonic() - started < seconds:
        least = min(range(len(targets)), key=lambda at: used[at] / targets[at].share)
        before = time.monotonic()
        yield number, targets[least]
        used[least] += time.monotonic() - before
        number += 1


def _count(counts: Counter[str], target: Target, turns: Progress) -> None:
    counts[target.name] += 1
    turns.note(", ".join(f"{count:,} {name}" for name, count in counts.items()))


def _passes(target: Target, data: bytes, place: Path) -> bool:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.alarm(_SECONDS)
    try:
        target.run(data)
    except (Exception, _TooSlowError):
        traceback.print_exc()
    else:
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if grown < _BYTES:
            return True
        say(f"the memory grew by {grown >> 20:,} MiB")
    finally:
        signal.alarm(0)
    say(f"failed: {place}; to try it again: python -m tests.fuzz --again {place}")
    return False


def _silence_c_libraries() -> None:
    """Keep the messages of libtiff, one for most inputs, from standard error."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(sys.stderr)  # tells where a library crashed
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _stop(*_: object) -> None:
    raise _TooSlowError(f"took more than {_SECONDS} s")


if __name__ == "__main__":
    _silence_c_libraries()
    sys.exit(main())
