"""Declare the options that several commands share: models, tags and whole numbers."""

import argparse
import os
from pathlib import Path

from cir.core.errors import UserError

VARIABLE = "CIR_MODELS"


def add_models_option(parser: argparse.ArgumentParser, **names: str) -> None:
    """Add --models, and one more option for each model that the command loads.

    `names` maps each of these options to the name of its folder inside the models' folder.
    """
    about = f"the folder of the trained models; default: ${VARIABLE}, or ./models"
    parser.add_argument("--models", type=Path, metavar="DIR", help=about)
    for option, name in names.items():
        about = f"the folder of the {option}; default: {name} in the models' folder"
        parser.add_argument(f"--{option}", type=Path, metavar="DIR", help=about)
    parser.set_defaults(model_names=names)


def model_folder(options: argparse.Namespace, option: str, required: bool = False) -> Path:
    """Return the folder of one of the command's models.

    Raises UserError if the folder is `required` and does not exist.
    """
    models = options.models or Path(os.environ.get(VARIABLE) or "models")
    folder = getattr(options, option) or models / options.model_names[option]
    if required and not folder.is_dir():
        raise UserError(
            f"there is no {option} in {folder}: train it with make retriever or make repro, or "
            f"name the folder of trained models with --models or ${VARIABLE}"
        )
    return folder


def require_tags(table: Path | None) -> None:
    """Raise UserError if --tags names a file that does not exist."""
    if table is not None and not table.is_file():
        raise UserError(f"--tags names the file {table}, which does not exist")


def count(text: str) -> int:
    """Convert an option's text to a whole number from 1 upwards."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 upwards, got "{text}"')
    return int(text)
