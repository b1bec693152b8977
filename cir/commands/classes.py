"""Rank a user's images by the class embedder, or check a ranking file: cir classes."""

import argparse
from pathlib import Path

from cir.commands.models import add_models_option, model_folder

_K1 = 10  # of re-ranking, as in conf/config.yaml
# Option: the part of the class data, and what it holds.
_PARTS = {"queries": ("query", "what to look for"), "gallery": ("gallery", "where to look for it")}
_FORMS = "an image file, a folder of them at any depth, or the shards of a part of the class data"


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command, with `rank` and `check` below it."""
    parser = commands.add_parser("classes", help="class-level retrieval: rank folders of images")
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    ranking = add("rank", help="find images of the same class in a folder")
    checking = add("check", help="check a file of rankings")
    for option, (part, what) in _PARTS.items():
        form = {"type": Path, "metavar": "IMAGES", "help": f"{what}: {_FORMS}"}
        ranking.add_argument(f"--{option}", required=True, **form)
        form["help"] += "; default: %(default)s"
        checking.add_argument(f"--{option}", default=Path("data", "classes", part), **form)
    about = "the JSON file to write: by the path of each query, those of its answers, best first"
    ranking.add_argument("--out", type=Path, required=True, metavar="FILE", help=about)
    add_models_option(ranking, model="class_embedder")
    about = "re-rank by who is among the K1 nearest of whom in the gallery; default: %(const)s"
    ranking.add_argument("--rerank", nargs="?", type=_count, const=_K1, metavar="K1", help=about)
    checking.add_argument("file", type=Path, help="what rank wrote, or another in its form")
    for command in (ranking, checking):
        about = "images for each query, or all where there are fewer; default: %(default)s"
        command.add_argument("--k", type=_count, default=10, help=about)
    ranking.set_defaults(run=_rank)
    checking.set_defaults(run=_check)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 upwards, got "{text}"')
    return int(text)


def _rank(options: argparse.Namespace) -> str:
    from cir.classes.rank_folders import rank  # it takes a second to import

    model = model_folder(options, "model")
    return rank(
        options.queries,
        options.gallery,
        options.out,
        model,
        options.k,
        options.rerank,
    )


def _check(options: argparse.Namespace) -> str:
    from cir.classes.rank_folders import check

    return check(options.file, options.queries, options.gallery, options.k)
