"""Get published models by name: cir models list, cir models get, cir models check."""

import argparse
import textwrap
from pathlib import Path

from cir.commands.options import add_models_option, models_folder
from cir.core.errors import UserError
from cir.retrieval.models import PRESETS, RECORD, model_folder, read_record

_COLUMNS = ("NAME", "HERE", "MB", "LICENCE", "WHAT IT IS")
_WIDTH = 100  # columns

_SOURCES = """\
NAME is one of the names that cir models list shows, or a source:
  open_clip:MODEL/TAG    weights that open_clip knows by a tag
  open_clip:MODEL/FILE   a file of weights of an architecture that open_clip knows
  hf-hub:OWNER/NAME      a repository of the hub in open_clip's layout
  local-dir:FOLDER       a folder in open_clip's layout, or one that this project wrote

The hub's own variables hold: HF_ENDPOINT names a mirror, HF_HOME the folder of its cache,
HF_HUB_OFFLINE=1 takes models from the cache alone, HF_TOKEN opens what needs a login."""


def add_command(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its three parts to the command line."""
    command = commands.add_parser("models", help="get published models by name")
    parts = command.add_subparsers(required=True, metavar="PART")
    listing = parts.add_parser("list", help="list the models that have a name, and those here")
    listing.set_defaults(run=_list)
    getting = parts.add_parser(
        "get",
        help="download a model, verify it and keep it for use without a network",
        epilog=_SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    getting.add_argument("name", metavar="NAME", help="see below")
    about = "the name of the model's folder; default: the name, or the last part of the source"
    getting.add_argument("--as", dest="save_as", metavar="NAME", help=about)
    getting.set_defaults(run=_get)
    checking = parts.add_parser("check", help="read a model's folder again and try the model")
    checking.add_argument("name", metavar="NAME", help="the name of the model's folder")
    checking.set_defaults(run=_check)
    for part in (listing, getting, checking):
        add_models_option(part)


def _get(options: argparse.Namespace) -> str:
    """Fetch the model, and say where it is and how it is used."""
    from cir.retrieval.models.get import get  # this import takes seconds

    folder = get(options.name, models_folder(options), options.save_as)
    licence = read_record(folder)["licence"]
    return (
        f"{folder}: {_megabytes(folder)} MB, verified; licence: {licence}; use it with cir index "
        f"FOLDER --model {folder.name}"
    )


def _check(options: argparse.Namespace) -> str:
    """Compare the model's files with their digests, and encode a known image and text."""
    folder = model_folder(models_folder(options), options.name)
    from cir.retrieval.models.get import check  # this import takes seconds

    encoder = check(folder).encoder
    return (
        f"{folder} is whole: its files are those that were fetched, and it gives vectors of "
        f"length {encoder.dim} to images and texts"
    )


def _list(options: argparse.Namespace) -> str:
    """List the presets and what is in the folder of models, in at most 100 columns."""
    models = models_folder(options)
    rows = [_COLUMNS]
    for name, preset in PRESETS.items():
        here = "yes" if (models / name / RECORD).is_file() else "-"
        rows.append((name, here, f"{preset.megabytes:,}", preset.licence, preset.about))
    rows += [(folder.name, "yes", *_recorded(folder)) for folder in _others(models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    told = [f"{name}: {preset.measured}." for name, preset in PRESETS.items()]
    told.insert(0, f"HERE: whether the model is in {models}. What was measured in this project:")
    wrapped = [textwrap.fill(line, _WIDTH, subsequent_indent="  ") for line in told]
    return "\n".join([*table, "", *wrapped])


def _others(models: Path) -> list[Path]:
    """Return the folders that cir models get has written beside those of the presets."""
    found = sorted(path.parent for path in models.glob(f"*/{RECORD}"))
    return [folder for folder in found if folder.name not in PRESETS]


def _recorded(folder: Path) -> tuple[str, str, str]:
    """Return size, licence and source of a model that has no preset."""
    try:
        record = read_record(folder)
    except UserError:
        return _megabytes(folder), "-", "damaged: see cir models check"
    return _megabytes(folder), record["licence"], record["source"]


def _megabytes(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:,.0f}"
