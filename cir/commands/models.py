"""Find the trained models of a command: --models DIR, $CIR_MODELS, or ./models."""

import argparse
import os
from pathlib import Path

from cir.core.errors import UserError

VARIABLE = "CIR_MODELS"


def add_models_option(parser: argparse.ArgumentParser, **names: str) -> None:
    """Add --models, and an option of its own for each model that the command loads.

    `names` maps each such option to the name of its folder inside the models' folder.
    """
    about = f"the folder of the trained models; default: ${VARIABLE}, or ./models"
    parser.add_argument("--models", type=Path, metavar="DIR", help=about)
    for option, name in names.items():
        about = f"the folder of the {option}; default: {name} in the models' folder"
        parser.add_argument(f"--{option}", type=Path, metavar="DIR", help=about)
    parser.set_defaults(model_names=names)


def model_folder(options: argparse.Namespace, option: str, required: bool = False) -> Path:
    """Return the folder of one of the command's models.

    Raises UserError if it is `required` and does not exist.
    """
    given = getattr(options, option)
    folder = given or models_folder(options) / options.model_names[option]
    if required and not folder.is_dir():
        raise UserError(
            f"there is no {option} in {folder}: train it with make retriever or make repro, or "
            f"name the folder of trained models with --models or ${VARIABLE}"
        )
    return folder


def models_folder(options: argparse.Namespace) -> Path:
    """Return the folder that holds all trained models."""
    return options.models or Path(os.environ.get(VARIABLE) or "models")
