"""Curves of training: a CSV for DVC's plots and, where they are asked for, TensorBoard's events."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cir.core import files


class Curve:
    """The rows of one training history.

    Args:
        path: the CSV, which `write` makes at the end.
        columns: of the CSV; a row may lack some, and others that it has are left out.
        events: the folder of this run for TensorBoard, or None.
    """

    def __init__(self, path: Path, columns: Sequence[str], events: Path | None):
        self._path, self._columns, self._events = path, columns, events
        self._writer = None
        self._written = 0

    def follow(self, history: Sequence[dict[str, float]]) -> None:
        """Add the rows that are new since the last call to the event file.

        The first call clears the folder: a run that goes on from a checkpoint tells all of its
        history again, and rows that were lost with the killed run are not shown beside it.
        """
        if self._events is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # half a second that few need

            for old in self._events.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = SummaryWriter(str(self._events))
        for row in history[self._written :]:
            for name in self._columns:
                if name != "step" and name in row:
                    self._writer.add_scalar(name, row[name], int(row["step"]))
        self._written = len(history)
        self._writer.flush()

    def write(self, history: Sequence[dict[str, float]]) -> None:
        """Write the CSV, whole, and end the event file."""
        self.follow(history)
        if self._writer is not None:
            self._writer.close()
        with files.whole_file(self._path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)


def event_folder(tensorboard: str | None, checkpoints: Path) -> Path | None:
    """This run's folder below the one that the param `tensorboard` names.

    It has the name of the run's checkpoints, which tells the recipe: experiments beside each
    other do not mix, and a resumed run goes on in its own.
    """
    return None if tensorboard is None else Path(tensorboard) / checkpoints.name
