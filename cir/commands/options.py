"""Declare the options that several commands share: models, tags and whole numbers."""

import argparse
import os
from pathlib import Path

from cir.core.errors import UserError
from cir.retrieval.models import catalogue

VARIABLE = "CIR_MODELS"
_ALL = "make repro"
_TRAINED_BY = dict.fromkeys(("encoder", "encoder_base", "tagger"), "make retriever")
_PUBLISHED = ", name a published one with --model (cir models list)"


def add_models_option(parser: argparse.ArgumentParser, before: str = "", **names: str) -> None:
    """Add --models, and one more option for each model that the command loads.

    `names` maps each of these options to the name of its folder inside the models' folder. The
    option --model also takes a name in that folder; the others take a folder. `before` says which
    model goes before the default of --model.
    """
    about = f"the folder of the trained models; default: ${VARIABLE}, or ./models"
    parser.add_argument("--models", type=Path, metavar="DIR", help=about)
    for option, name in names.items():
        named = option == "model"
        about = "the model: its name in the models' folder, or its folder"
        about = about if named else f"the folder of the {option}"
        about += f"; default: {before if named else ''}{name} in the models' folder"
        kind = {"metavar": "NAME|DIR"} if named else {"type": Path, "metavar": "DIR"}
        parser.add_argument(f"--{option}", help=about, **kind)
    parser.set_defaults(model_names=names)


def models_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the models."""
    return options.models or Path(os.environ.get(VARIABLE) or "models")


def model_folder(options: argparse.Namespace, option: str, required: bool = False) -> Path:
    """Return the folder of one of the command's models.

    Raises UserError if the folder is `required` and does not exist, or if --model gives a name that
    no model has.
    """
    models, given = models_folder(options), getattr(options, option)
    if isinstance(given, str):
        given = _named(models, given)
    folder = given or models / options.model_names[option]
    if required and not folder.is_dir():
        raise UserError(
            f"there is no {option} in {folder}: train it with {_TRAINED_BY.get(folder.name, _ALL)}"
            f"{_PUBLISHED if option == 'model' else ''}, or name the folder of trained models with "
            f"--models or ${VARIABLE}"
        )
    return folder


def _named(models: Path, given: str) -> Path:
    """Return the folder that --model names: a name in the models' folder goes before a path."""
    published = given in catalogue.PRESETS or given.startswith(catalogue.SOURCES)
    is_path = os.sep in given and not published
    if is_path or (Path(given).is_dir() and not Path(models, given).is_dir()):
        return Path(given)
    if not published and not Path(models, given).is_dir():
        raise UserError(
            f"there is no model {given} in {models}: train it with "
            f"{_TRAINED_BY.get(given, _ALL)}{_PUBLISHED}"
        )
    return catalogue.model_folder(models, given)


def require_tags(table: Path | None) -> None:
    """Raise UserError if --tags names a file that does not exist."""
    if table is not None and not table.is_file():
        raise UserError(f"--tags names the file {table}, which does not exist")


def count(text: str) -> int:
    """Convert an option's text to a whole number from 1 upwards."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 upwards, got "{text}"')
    return int(text)
