"""Fail if a dvc.lock does not fit the code, params or dvc.yaml: python -m tools.stale_lock

A clone without data can be checked too. `dvc repro --dry --allow-missing` does not report a stale
lock, and `dvc status --json` is ambiguous without data: it says "deleted" for outputs that were
never fetched, but also for a stage missing from the lock, for a file deleted from git and for an
upstream output that was made again.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage, Stage

from cir.core.errors import UserError

_ABSENT = ("deleted", "not in cache")
_UNSEEN = (None, *_ABSENT)  # what DVC reports if it finds no other content


def stale(root: str | Path = ".") -> list[str]:
    """Return a line "stage: what changed" for each reason why a stage would have to run.

    One change is only found with data: a stage was run again by itself, and another stage depends
    on a part of its output folder, or on a folder that holds outputs of several stages.

    Raises UserError if DVC cannot read the repository.
    """
    try:
        with Repo(str(root)) as repo, repo.lock:
            return [line for stage in repo.index.stages for line in _reasons(stage, repo)]
    except DvcException as error:
        raise UserError(f"DVC cannot compare: {' '.join(str(error).split())}") from None


def _reasons(stage: Stage, repo: Repo) -> Iterator[str]:
    name = stage.addressing
    entries = [*([] if stage.frozen else stage.deps), *stage.outs]
    files = [entry for entry in entries if not isinstance(entry, ParamsDependency)]
    unlocked = [str(entry) for entry in files if not entry.hash_info]
    if isinstance(stage, PipelineStage) and files and len(unlocked) == len(files):
        yield f"{name}: the stage is not in dvc.lock"
        return
    yield from (f"{name}: {path} is not in dvc.lock" for path in unlocked)
    changes = dict(_changes(stage.status().get(name, [])))
    made = {str(out): out for out in repo.index.outs}
    for path, change in changes.items():
        outs = [str(out) for out in made.values() if out.use_cache]
        kept_away = any(_within(path, out) or _within(out, path) for out in outs)
        if path not in unlocked and not (change in _ABSENT and kept_away):
            yield f"{name}: {_told(path, change)}"
    for entry in files:
        source = made.get(str(entry), entry)
        known = entry.hash_info and source.hash_info
        if known and entry.hash_info != source.hash_info and changes.get(str(entry)) in _UNSEEN:
            yield f"{name}: {entry} was made again by {source.stage.addressing}"


def _changes(status: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield (what changed, how) from the entries of one stage in `dvc status --json`."""
    for entry in status:
        if isinstance(entry, str):  # "changed command" or "always changed"
            yield from [] if entry == "always changed" else [(entry, "")]
            continue
        for found in entry.values():
            for path, change in found.items():
                if isinstance(change, str):
                    yield path, change
                else:
                    yield from ((f"{key} of {path}", how) for key, how in change.items())


def _told(path: str, change: str) -> str:
    return f"{path} ({change})" if change else path


def _within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def main() -> int:
    try:
        lines = stale()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for line in lines:
        print(line)
    if lines:
        print(
            "error: dvc.lock is stale; run dvc repro and commit the dvc.lock files", file=sys.stderr
        )
        return 1
    print("every dvc.lock fits this code, these params and its dvc.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
