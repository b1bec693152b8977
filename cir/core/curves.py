"""Write the curves of a training: a CSV file for DVC's plots, and events for TensorBoard."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cir.core import files


class Curve:
    """Writes the history of one training.

    Args:
        path: the CSV file, which `write` makes at the end.
        columns: columns of the CSV file; a row may lack some, and its other values are not written.
        events: the folder of this run for TensorBoard, or None.
    """

    def __init__(self, path: Path, columns: Sequence[str], events: Path | None):
        self._path, self._columns, self._events = path, columns, events
        self._writer = None
        self._written = 0

    def follow(self, history: Sequence[dict[str, float]]) -> None:
        """Add the rows since the last call to the event file.

        The first call clears the folder, because a run that resumes passes its whole history again,
        and the killed run may have written rows that are lost.
        """
        if self._events is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes half a second

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
        """Write the CSV file and close the event file."""
        self.follow(history)
        if self._writer is not None:
            self._writer.close()
        with files.whole_file(self._path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)


def event_folder(tensorboard: str | None, checkpoints: Path) -> Path | None:
    """Return this run's folder below the folder of the param `tensorboard`, if it is set.

    The folder has the name of the run's checkpoints. Runs of different recipes therefore do not
    mix, and a resumed run continues in its own folder.
    """
    return None if tensorboard is None else Path(tensorboard) / checkpoints.name
