"""Check metrics files against floors and against another commit: cir gate.

A metric passes if it is a number, reaches its floor, and has not dropped too far below its value in
the other commit (the base).
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cir.core.errors import UserError
from cir.core.files import read_json

_KEYS = ("floor", "drop")
_COLUMNS = ("metric", "floor", "allowed drop", "base", "now", "verdict")
_ROUNDING = 1e-9  # because 0.99 - 0.985 > 0.005 in floating point


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command to the command line."""
    judging = commands.add_parser(
        "gate", help="fail if a metric is missing, too low or has dropped"
    )
    judging.add_argument("--against", metavar="REV", help="compare with the metrics of this commit")
    judging.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    judging.add_argument(
        "--limits", type=Path, default=Path("metrics_gate.yaml"), help="default: %(default)s"
    )
    judging.set_defaults(run=_gate)


def _gate(options: argparse.Namespace) -> int:
    """Print a table of the metrics, and a sentence for each problem; return 1 if there is one."""
    verdicts = judge_files(options.limits, options.against)
    print(markdown(verdicts) if options.markdown else table(verdicts), flush=True)
    sentences = problems(verdicts)
    for sentence in sentences:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


@dataclass(frozen=True)
class Limit:
    """The floor of one metric in one file, and the largest drop below the base."""

    file: str
    metric: str
    floor: float
    drop: float


@dataclass(frozen=True)
class Verdict:
    """The verdict on one metric, which fails if it has problems.

    Attributes:
        limit: the metric and its limits.
        now: its value now, or None if it is missing.
        base: its value in the base, or None if it is missing there or is not a number.
        compared: whether there is a base.
        problems: a sentence for each problem.
    """

    limit: Limit
    now: Any
    base: float | None
    compared: bool
    problems: tuple[str, ...]


def judge_files(limits: Path, against: str | None = None) -> list[Verdict]:
    """Judge the metrics files of the current folder, alone or against a git revision.

    Raises UserError for a bad file of limits and for a revision that git does not know.
    """
    read = read_limits(limits)
    files = dict.fromkeys(limit.file for limit in read)
    return judge(read, present(files), None if against is None else committed(files, against))


def read_limits(path: str | Path) -> list[Limit]:
    """Read the limits, in their order, from a YAML file: {file: {metric: {floor, drop}}}.

    Raises UserError if the file does not exist, is not YAML or names no metric, and for a key that
    is unknown, missing or not a number.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        files = YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from None
    return [
        _limit(f"{path}: {file}", str(file), str(metric), values)
        for file, metrics in _mapping(path, files, "metrics files")
        for metric, values in _mapping(f"{path}: {file}", metrics, "metrics")
    ]


def _mapping(where: Any, value: Any, of: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, dict) or not value:
        raise UserError(f"{where} must map {of} to their limits, got {value!r}")
    return value.items()


def _limit(where: str, file: str, metric: str, values: Any) -> Limit:
    where = f"{where}: {metric}"
    if not isinstance(values, dict):
        raise UserError(f"{where} must have floor and drop, got {values!r}")
    for key in [*values, *_KEYS]:
        if key not in _KEYS:
            raise UserError(f"{where}: unknown key {key!r}; expected floor and drop")
        if not _is_number(values.get(key)):
            raise UserError(f"{where}: {key} must be a number, got {values.get(key)!r}")
    if values["drop"] < 0:
        raise UserError(f"{where}: drop must not be negative, got {values['drop']}")
    return Limit(file, metric, values["floor"], values["drop"])


def present(files: Iterable[str], root: str | Path = ".") -> dict[str, Any]:
    """Return the present values of each metrics file, or the UserError if it cannot be read.

    The paths of `files` are relative to `root`.
    """
    found: dict[str, Any] = {}
    for file in files:
        try:
            found[file] = read_json(Path(root, file))
        except UserError as error:
            found[file] = error
    return found


def committed(files: Iterable[str], revision: str, root: str | Path = ".") -> dict[str, Any]:
    """Return the values of each metrics file at a git revision, or None if it has no such file.

    The paths of `files` are relative to `root`, a folder of the repository. Raises UserError for a
    revision that git does not know.
    """
    known = _git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    if known.returncode != 0:
        reason = " ".join(known.stderr.split())
        raise UserError(f"git cannot show the revision {revision!r}: {reason}")
    commit = known.stdout.strip()
    return {file: _loaded(_git(root, "show", f"{commit}:./{file}").stdout) for file in files}


def _git(root: str | Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["git", "-C", str(root), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        raise UserError("git was not found; install it to compare with a revision") from None


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def judge(
    limits: Iterable[Limit], now: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> list[Verdict]:
    """Compare each metric with its floor, and with the base if there is one.

    A metric that is not a number in the base is compared with its floor only.

    Args:
        limits: the limits of the metrics.
        now: the values of each file, or the UserError if it cannot be read.
        base: the values of each file in the base; None if there is no base.
    """
    verdicts = []
    for limit in limits:
        values = now[limit.file]
        old = None if base is None else _value(base.get(limit.file), limit.metric)
        old = old if _is_number(old) else None
        problems = tuple(_problems(limit, values, old))
        value = _value(values, limit.metric)
        verdicts.append(Verdict(limit, value, old, base is not None, problems))
    return verdicts


def _problems(limit: Limit, values: Any, base: float | None) -> Iterable[str]:
    name = f"{limit.file}: {limit.metric}"
    value = _value(values, limit.metric)
    if isinstance(values, UserError):
        yield str(values)
    elif not isinstance(values, dict) or limit.metric not in values:
        yield f"{name} is missing"
    elif not _is_number(value):
        yield f"{name} must be a finite number, got {value!r}"
    else:
        if value < limit.floor:
            yield f"{name} must be at least {limit.floor}, got {value}"
        if base is not None and base - value > limit.drop + _ROUNDING:
            yield f"{name} may drop by {limit.drop} at most, but dropped from {base} to {value}"


def _value(values: Any, metric: str) -> Any:
    return values.get(metric) if isinstance(values, dict) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def problems(verdicts: Iterable[Verdict]) -> list[str]:
    """Return a sentence for each problem; a file that cannot be read gets only one."""
    return list(dict.fromkeys(problem for verdict in verdicts for problem in verdict.problems))


def table(verdicts: Iterable[Verdict]) -> str:
    """Lay the verdicts out in aligned columns for a terminal."""
    rows = [_COLUMNS, *map(_cells, verdicts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers, verdict in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([*cells, verdict]))
    return "\n".join(lines)


def markdown(verdicts: Iterable[Verdict]) -> str:
    """Lay the verdicts out as a table in Markdown."""
    rows = [_COLUMNS, ("---", "---:", "---:", "---:", "---:", "---")]
    for name, *others in map(_cells, verdicts):
        rows.append((f"`{name}`", *others))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(verdict: Verdict) -> tuple[str, ...]:
    limit = verdict.limit
    words = "FAILED" if verdict.problems else "ok"
    if verdict.compared and verdict.base is None:
        words += ", not in the base"
    name = f"{Path(limit.file).stem} {limit.metric}"
    numbers = (limit.floor, limit.drop, verdict.base, verdict.now)
    return (name, *map(_shown, numbers), words)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if _is_number(value) else str(value)
