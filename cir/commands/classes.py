"""Rank images with the class embedder, or check a file of rankings: cir classes."""

import argparse
from pathlib import Path

from cir.commands.options import add_models_option, count, model_folder

_K1 = 10  # for re-ranking, as in conf/config.yaml
# Each option with its part of the class data, and the help that describes it.
_PARTS = {"queries": ("query", "what to look for"), "gallery": ("gallery", "where to look for it")}
_FORMS = "an image file, a folder of images at any depth, or the shards of a part of the class data"


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its two subcommands, `rank` and `check`."""
    parser = commands.add_parser("classes", help="class-level retrieval: rank folders of images")
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    ranking = add("rank", help="find images of the same class in a folder")
    checking = add("check", help="check a file of rankings")
    for option, (part, what) in _PARTS.items():
        form = {"type": Path, "metavar": "IMAGES", "help": f"{what}: {_FORMS}"}
        ranking.add_argument(f"--{option}", required=True, **form)
        form["help"] += "; default: %(default)s"
        checking.add_argument(f"--{option}", default=Path("data", "classes", part), **form)
    about = "the JSON file to write: for each query's path, the paths of its answers, best first"
    ranking.add_argument("--out", type=Path, required=True, metavar="FILE", help=about)
    add_models_option(ranking, model="class_embedder")
    about = "re-rank by the K1 nearest neighbours of each image (k-reciprocal); default: %(const)s"
    ranking.add_argument("--rerank", nargs="?", type=count, const=_K1, metavar="K1", help=about)
    checking.add_argument("file", type=Path, help="a file that rank wrote, or one of that form")
    for command in (ranking, checking):
        about = "how many images each query gets, or all if there are fewer; default: %(default)s"
        command.add_argument("--k", type=count, default=10, help=about)
    ranking.set_defaults(run=_rank)
    checking.set_defaults(run=_check)


def _rank(options: argparse.Namespace) -> str:
    from cir.classes.rank_folders import rank  # this import takes a second

    model = model_folder(options, "model")
    parts = options.queries, options.gallery
    return rank(*parts, options.out, model, options.k, options.rerank)


def _check(options: argparse.Namespace) -> str:
    from cir.classes.rank_folders import check

    return check(options.file, options.queries, options.gallery, options.k)
