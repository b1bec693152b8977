"""Check a published dataset, score a model on it, or write answers for its server: cir data."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cir.commands.options import add_models_option, model_folder
from cir.core.errors import UserError

if TYPE_CHECKING:
    from cir.published.datasets import PublishedDataset
    from cir.published.servers.answers import Saved


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its four subcommands."""
    data = commands.add_parser("data", help="published datasets: check, score, answer")
    add = data.add_subparsers(required=True, metavar="COMMAND").add_parser
    looking = add("check", help="list the files that were found, and what they allow to run")
    scoring = add("score", help="score a saved model by the dataset's protocol")
    answering = add("answers", help="write a saved model's answers for the dataset's test server")
    checking = add("check-answers", help="check a file of answers for the test server")
    for command in (looking, scoring, answering, checking):
        command.add_argument("name", choices=_Names(), metavar="NAME", help="%(choices)s")
        about = "the folder of the dataset; drawn_attributes needs none"
        command.add_argument("--root", type=Path, help=about)
    checking.add_argument("file", type=Path)
    about = 'splits, or parts of a split ("val dress")'
    scoring.add_argument("--part", nargs="+", required=True, help=about)
    about = "leave out missing and broken images, and the queries that need them"
    scoring.add_argument("--leave-out", action="store_true", help=about)
    about = "decode every image, not a sample of each part"
    looking.add_argument("--all", action="store_true", help=about)
    scoring.add_argument("--out", type=Path, metavar="FILE", help="the JSON file for the scores")
    answering.add_argument("--out", type=Path, metavar="FOLDER", required=True)
    for command in (answering, checking):
        command.add_argument("--part", help="default: the part that the test server scores")
    for command in (scoring, answering):
        add_models_option(command, model="benchmark", tagger="tagger")
    for command in (scoring, answering, checking):
        about = "options of the dataset, such as gallery=pooled; a wrong name lists all of them"
        form = {"nargs": "+", "type": _setting, "metavar": "OPTION=VALUE"}
        command.add_argument("--set", default=[], help=about, **form)
    looking.set_defaults(run=_check, set=[])
    scoring.set_defaults(run=_score)
    answering.set_defaults(run=_answer)
    checking.set_defaults(run=_check_answers)


class _Names:
    """The names of the datasets, imported when argparse asks for them: the import takes time."""

    def __iter__(self) -> Iterator[str]:
        from cir.published.datasets import DATASETS

        return iter(DATASETS)


def _dataset(options: argparse.Namespace) -> "PublishedDataset":
    from cir.published.datasets import DATASETS
    from cir.published.datasets.options import with_options

    kind = DATASETS[options.name]
    if kind.stored and options.root is None:
        raise UserError(f"{kind.title} needs --root, the folder that holds the dataset")
    if not kind.stored and options.root is not None:
        raise UserError(f"{kind.title} is drawn and needs no folder: leave --root out")
    return with_options(kind, options.root, dict(options.set))


def _setting(text: str) -> tuple[str, str]:
    name, between, value = text.partition("=")
    if not between:
        raise argparse.ArgumentTypeError(f'expected OPTION=VALUE, got "{text}"')
    return name, value


def _check(options: argparse.Namespace) -> int:
    """Print what was found of a dataset; return status 1 if nothing can be run with it."""
    from cir.published.servers.what_is_there import check

    lines, runs = check(_dataset(options), options.all)
    print("\n".join(lines))
    return 0 if runs else 1


def _saved(options: argparse.Namespace) -> "Saved":
    from cir.published.servers.answers import Saved  # this import takes seconds

    return Saved(model_folder(options, "model"), model_folder(options, "tagger"))


def _score(options: argparse.Namespace) -> int:
    """Print one line of scores for each part of a dataset."""
    from cir.published.experiment.scoring import said
    from cir.published.servers import answers

    dataset, absent = _dataset(options), "leave out" if options.leave_out else "refuse"
    for row in answers.score(dataset, options.part, _saved(options), options.out, absent):
        print(said(row))
    return 0


def _answer(options: argparse.Namespace) -> int:
    """Write a saved model's answers for a test server, and print the paths of the files."""
    from cir.published.servers import answers, server_files

    dataset = _dataset(options)
    part = options.part or server_files.part_for_server(dataset)
    for path in answers.write_answers(dataset, part, _saved(options), options.out):
        print(path)
    return 0


def _check_answers(options: argparse.Namespace) -> str:
    """Check the form of a file for a test server, and say that it is right."""
    from cir.published.servers import server_files

    dataset = _dataset(options)
    part = options.part or server_files.part_for_server(dataset)
    return server_files.check_answers(dataset, part, options.file)
