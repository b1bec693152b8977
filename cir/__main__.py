"""The command line: python -m cir COMMAND."""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cir.commands import classes as class_commands
from cir.commands import gate
from cir.commands.index import add_index_command
from cir.commands.serve import add_serve_command
from cir.core.errors import UserError
from cir.core.records import Edit
from cir.edits.reading.metrics import same_edit
from cir.published.datasets import DATASETS, PublishedDataset
from cir.published.datasets.options import with_options
from cir.published.experiment.scoring import said
from cir.published.servers import server_files
from cir.published.servers.what_is_there import check

if TYPE_CHECKING:
    from cir.edits.reading.tagger import Tagger

_LINES_AT_ONCE = 256


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cir", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    tag = commands.add_parser("tag", help="print the objects to add and to remove as JSON")
    tag.add_argument("sentence", nargs="?", help="without it, one sentence a line is read")
    tag.set_defaults(run=_tag)
    score = commands.add_parser("tag-score", help="measure the tagger on tagged sentences")
    score.add_argument("file", type=Path, help='JSON lines with "text", "add" and "remove"')
    score.set_defaults(run=_score)
    judging = commands.add_parser("gate", help="fail if a metric is missing, too low or has fallen")
    judging.add_argument("--against", metavar="REV", help="compare with the metrics of this commit")
    judging.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    judging.add_argument(
        "--limits", type=Path, default=Path("metrics_gate.yaml"), help="default: %(default)s"
    )
    judging.set_defaults(run=_gate)
    for command in (tag, score):
        command.add_argument(
            "--tagger", type=Path, default=Path("models", "tagger"), help="default: %(default)s"
        )
    _add_data_commands(commands.add_parser("data", help="published datasets: check, score, answer"))
    classes = commands.add_parser("classes", help="class-level retrieval: rank folders of images")
    class_commands.add_commands(classes)
    for command in (classes, add_index_command(commands), add_serve_command(commands)):
        command.set_defaults(run=_say_answer)
    return parser


def _add_data_commands(data: argparse.ArgumentParser) -> None:
    add = data.add_subparsers(required=True, metavar="COMMAND").add_parser
    looking = add("check", help="say what is there, and what can be run with it")
    scoring = add("score", help="score a saved model by the dataset's protocol")
    answering = add("answers", help="write what the dataset's test server takes")
    checking = add("check-answers", help="check a file for the test server")
    for command in (looking, scoring, answering, checking):
        command.add_argument("name", choices=DATASETS, metavar="NAME", help=", ".join(DATASETS))
        about = "the folder of the dataset; drawn_attributes has none"
        command.add_argument("--root", type=Path, help=about)
    checking.add_argument("file", type=Path)
    scoring.add_argument("--part", nargs="+", required=True, help='a split or a part ("val dress")')
    about = "leave out absent images and the queries that need them"
    scoring.add_argument("--leave-out", action="store_true", help=about)
    scoring.add_argument("--out", type=Path, metavar="FILE", help="for the figures, as JSON")
    answering.add_argument("--out", type=Path, metavar="FOLDER", required=True)
    for command in (answering, checking):
        command.add_argument("--part", help="default: the one that the test server scores")
    for command in (scoring, answering):
        for what, folder in (("model", "benchmark"), ("tagger", "tagger")):
            place = Path("models", folder)
            command.add_argument(f"--{what}", type=Path, default=place, help="default: %(default)s")
    for command in (scoring, answering, checking):
        about = "options of the dataset, such as gallery=pooled; a wrong one names them all"
        form = {"nargs": "+", "type": _setting, "metavar": "OPTION=VALUE"}
        command.add_argument("--set", default=[], help=about, **form)
    looking.set_defaults(run=_check_data, set=[])
    scoring.set_defaults(run=_score_data)
    answering.set_defaults(run=_answer_data)
    checking.set_defaults(run=_check_answers)


def _load_tagger(options: argparse.Namespace) -> "Tagger":
    from transformers.utils import logging  # seconds that the other commands need not wait

    from cir.edits.reading.tagger import Tagger

    logging.set_verbosity_error()
    return Tagger.load(options.tagger)


def _tag(options: argparse.Namespace) -> int:
    """Print an edit, or one a line; an empty line is reported by number and gives status 1."""
    if options.sentence is not None:
        if not options.sentence.strip():
            raise UserError("the sentence to tag is empty")
        _print_edits(_load_tagger(options).tag([options.sentence]), ["the sentence"])
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
        _print_edits(tagger.tag(list(texts.values())), [f"line {number}" for number in texts])
    return status


def _dataset(options: argparse.Namespace) -> PublishedDataset:
    kind = DATASETS[options.name]
    if kind.stored and options.root is None:
        raise UserError(f"say with --root in which folder {kind.title} lies")
    if not kind.stored and options.root is not None:
        raise UserError(f"{kind.title} has no folder, as it is drawn: leave --root out")
    return with_options(kind, options.root, dict(options.set))


def _setting(text: str) -> tuple[str, str]:
    name, between, value = text.partition("=")
    if not between:
        raise argparse.ArgumentTypeError(f'expected OPTION=VALUE, got "{text}"')
    return name, value


def _check_data(options: argparse.Namespace) -> int:
    """Print one screen about a dataset; status 1 if nothing can be run with it."""
    lines, runs = check(_dataset(options))
    print("\n".join(lines))
    return 0 if runs else 1


def _score_data(options: argparse.Namespace) -> int:
    """Print a line of figures for each part of a dataset, of a saved model."""
    from cir.published.servers import answers as data_answers  # it takes seconds to import

    saved = data_answers.Saved(options.model, options.tagger)
    absent = "leave out" if options.leave_out else "refuse"
    for row in data_answers.score(_dataset(options), options.part, saved, options.out, absent):
        print(said(row))
    return 0


def _answer_data(options: argparse.Namespace) -> int:
    """Write a saved model's answers for a test server, and print where they are."""
    from cir.published.servers import answers as data_answers

    dataset, saved = _dataset(options), data_answers.Saved(options.model, options.tagger)
    part = options.part or server_files.part_for_server(dataset)
    for path in data_answers.write_answers(dataset, part, saved, options.out):
        print(path)
    return 0


def _check_answers(options: argparse.Namespace) -> int:
    """Print that a file is as a test server wants it."""
    dataset = _dataset(options)
    part = options.part or server_files.part_for_server(dataset)
    print(server_files.check_answers(dataset, part, options.file))
    return 0


def _say_answer(options: argparse.Namespace) -> int:
    """Do what the command is for, and print the sentence that it ends with."""
    print(options.answer(options))
    return 0


def _batches(lines: TextIO) -> Iterator[list[tuple[int, str]]]:
    """Numbered lines, some at a time; from a person, each as soon as it is typed."""
    numbered = enumerate(lines, 1)
    size = 1 if lines.isatty() else _LINES_AT_ONCE
    while batch := list(itertools.islice(numbered, size)):
        yield batch


def _print_edits(edits: list[Edit], places: list[str]) -> None:
    for edit, place in zip(edits, places, strict=True):
        if not edit.add and not edit.remove:
            print(f"note: {place} names no object to add or to remove", file=sys.stderr)
        record = {"text": edit.text, "add": edit.add, "remove": edit.remove}
        print(json.dumps(record, ensure_ascii=False), flush=True)


def _score(options: argparse.Namespace) -> int:
    """Print the share of exact edits, strictly and with describing words forgiven."""
    true = _read_edits(options.file)
    predicted = _load_tagger(options).tag([edit.text for edit in true])
    pairs = list(zip(true, predicted, strict=True))
    strict = sum(same_edit(one, other) for one, other in pairs)
    forgiven = sum(same_edit(one, other, forgive_adjective=True) for one, other in pairs)
    print(f"exact edits, strictly:               {strict / len(pairs):7.2%} of {len(pairs):,}")
    print(f"exact edits, an adjective forgiven:  {forgiven / len(pairs):7.2%} of {len(pairs):,}")
    return 0


def _gate(options: argparse.Namespace) -> int:
    """Print a table of the metrics, and a sentence for each one that is not good enough."""
    limits = gate.read_limits(options.limits)
    files = dict.fromkeys(limit.file for limit in limits)
    base = None if options.against is None else gate.committed(files, options.against)
    verdicts = gate.judge(limits, gate.present(files), base)
    print(gate.markdown(verdicts) if options.markdown else gate.table(verdicts), flush=True)
    problems = gate.problems(verdicts)
    for sentence in problems:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if problems else 0


def _read_edits(path: Path) -> list[Edit]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    edits = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            edits.append(Edit(row["text"], tuple(row["add"]), tuple(row["remove"])))
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f'{path}, line {number}: expected an object with "text", "add" and "remove"'
            ) from None
    if not edits:
        raise UserError(f"{path} holds no sentence")
    return edits


if __name__ == "__main__":
    sys.exit(main())
