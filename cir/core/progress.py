"""Show the progress of a long step: as a bar on a terminal, as occasional lines in a log."""

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from tqdm import tqdm

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 10.0


class Progress(Generic[T]):
    """Yields the items of an iterable, and shows the number of units done and the speed."""

    def __init__(
        self,
        items: Iterable[T],
        total: int | None,
        what: str,
        unit: str,
        units_in: Callable[[T], int] | None,
        show: bool,
    ) -> None:
        self._items = items
        self._total = total
        self._what = what
        self._unit = unit
        self._units_in = units_in or (lambda item: 1)
        self._show = show
        self._note = ""

    def note(self, text: str) -> None:
        """Show a text, such as "loss 0.31", beside the count from now on."""
        self._note = text

    def __iter__(self) -> Iterator[T]:
        if not self._show:
            yield from self._items
        elif sys.stderr.isatty():
            yield from self._with_bar()
        else:
            yield from self._with_lines()

    def _with_bar(self) -> Iterator[T]:
        with tqdm(total=self._total, desc=self._what, unit=f" {self._unit}") as bar:
            for item in self._items:
                yield item
                bar.set_postfix_str(self._note, refresh=False)
                bar.update(self._units_in(item))

    def _with_lines(self) -> Iterator[T]:
        done = 0
        started = last = time.monotonic()
        for item in self._items:
            yield item
            done += self._units_in(item)
            now = time.monotonic()
            if now - last >= _SECONDS_BETWEEN_LINES:
                self._print_line(done, now - started)
                last = now
        self._print_line(done, time.monotonic() - started)

    def _print_line(self, done: int, seconds: float) -> None:
        count = f"{done:,}" if self._total is None else f"{done:,}/{self._total:,}"
        rate = done / max(seconds, 1e-9)
        parts = [f"{count} {self._unit}", f"{seconds:.0f} s", f"{rate:,.3g} {self._unit}/s"]
        if self._note:
            parts.append(self._note)
        say(f"{self._what}: {', '.join(parts)}")


def say(text: str) -> None:
    """Print a line on standard error without breaking a progress bar."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def progress(
    items: Iterable[T],
    total: int | None,
    what: str,
    unit: str,
    units_in: Callable[[T], int] | None = None,
    show: bool = True,
) -> Progress[T]:
    """Iterate over `items` and show the progress on standard error.

    The result also has `note(text)`, which shows a figure beside the count.

    Args:
        items: single items or batches.
        total: the number of units, or None if it is unknown.
        what: the name of the step, such as "embedding the gallery".
        unit: the plural name of a unit, such as "images".
        units_in: returns the number of units in an item, such as `len` for a batch; by default 1.
        show: False shows nothing; pass it in all processes but the first.
    """
    return Progress(items, total, what, unit, units_in, show)


class LogBar(tqdm):
    """A tqdm for a library that takes a class of bars: prints occasional lines, as for a log."""

    def __init__(self, *args, **options) -> None:
        options |= {"file": io.StringIO(), "mininterval": _SECONDS_BETWEEN_LINES, "disable": False}
        options.pop("name", None)  # huggingface_hub's own bars have it
        shown = "{desc}: {n_fmt}/{total_fmt}, {elapsed}, {rate_fmt}"
        self._said = ""
        super().__init__(*args, **options, bar_format=shown)

    def display(self, *args, **options) -> None:
        """Print a line if the count has moved."""
        line = str(self)
        if self.n > self.initial and line != self._said:
            self._said = line
            say(line)
