"""Turn sentences into edits, or measure the tagger: cir tag, cir tag-score."""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cir.commands.options import add_models_option, model_folder
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.core.tables import read_json_lines, strings

if TYPE_CHECKING:
    from cir.edits.reading.readings import Reading
    from cir.edits.reading.tagger import Tagger

_LINES_AT_ONCE = 256


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the two commands to the command line."""
    tag = commands.add_parser("tag", help="print the objects to add and to remove as JSON")
    about = "default: each line of standard input"
    tag.add_argument("sentence", nargs="?", type=_in_utf_8, help=about)
    tag.set_defaults(run=_tag)
    score = commands.add_parser("tag-score", help="measure the tagger on tagged sentences")
    score.add_argument("file", type=Path, help='JSON lines with "text", "add" and "remove"')
    score.set_defaults(run=_score)
    for command in (tag, score):
        add_models_option(command, tagger="tagger")


def _in_utf_8(argument: str) -> str:
    """Return an argument whose bytes that are not UTF-8 are replaced, as in standard input."""
    return os.fsencode(argument).decode("utf-8", "replace")


def _load_tagger(options: argparse.Namespace) -> "Tagger":
    folder = model_folder(options, "tagger", required=True)
    from transformers.utils import logging  # these imports take seconds

    from cir.edits.reading.tagger import Tagger

    logging.set_verbosity_error()
    return Tagger.load(folder)


def _tag(options: argparse.Namespace) -> int:
    """Print the edit of one sentence, or of each line of standard input.

    Returns 1 if a line is empty; each empty line is reported by its number.
    """
    if options.sentence is not None:
        if not options.sentence.strip():
            raise UserError("the sentence to tag is empty")
        _print(_load_tagger(options).read([options.sentence]), ["the sentence"])
        return 0
    tagger = _load_tagger(options)
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    status = 0
    for batch in _batches(sys.stdin):
        texts = {number: line.strip() for number, line in batch}
        for number in [number for number, text in texts.items() if not text]:
            print(f"error: line {number} is empty; expected a sentence", file=sys.stderr)
            del texts[number]
            status = 1
        _print(tagger.read(list(texts.values())), [f"line {number}" for number in texts])
    return status


def _batches(lines: TextIO) -> Iterator[list[tuple[int, str]]]:
    """Yield batches of numbered lines; from a terminal, each line is a batch of its own."""
    numbered = enumerate(lines, 1)
    size = 1 if lines.isatty() else _LINES_AT_ONCE
    while batch := list(itertools.islice(numbered, size)):
        yield batch


def _print(readings: list["Reading"], places: list[str]) -> None:
    """Print each edit with its confidence as JSON, and what is odd about it to standard error."""
    for reading, place in zip(readings, places, strict=True):
        for remark in reading.remarks():
            print(f"note: {place}: {remark}", file=sys.stderr)
        edit = reading.edit
        record = {"text": edit.text, "add": edit.add, "remove": edit.remove}
        record["confidence"] = round(reading.confidence, 3)
        print(json.dumps(record, ensure_ascii=False), flush=True)


def _score(options: argparse.Namespace) -> int:
    """Print the share of exact edits, counted strictly and with a wrong adjective forgiven."""
    from cir.edits.reading.metrics import same_edit

    true = _read_edits(options.file)
    predicted = _load_tagger(options).tag([edit.text for edit in true])
    pairs = list(zip(true, predicted, strict=True))
    strict = sum(same_edit(one, other) for one, other in pairs)
    forgiven = sum(same_edit(one, other, forgive_adjective=True) for one, other in pairs)
    print(f"exact edits, strictly:               {strict / len(pairs):7.2%} of {len(pairs):,}")
    print(f"exact edits, an adjective forgiven:  {forgiven / len(pairs):7.2%} of {len(pairs):,}")
    return 0


def _read_edits(path: Path) -> list[Edit]:
    edits = read_json_lines(path, _edit, 'an object with "text", "add" and "remove"')
    if not edits:
        raise UserError(f"{path} holds no sentence")
    return edits


def _edit(row: Any) -> Edit:
    (text,) = strings([row["text"]])
    return Edit(text, strings(row["add"]), strings(row["remove"]))
