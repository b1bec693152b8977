"""Read the files that the report shows: metrics, tables and sheets."""

import base64
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from cir.classes.embedder.results import Metrics as ClassTraining
from cir.classes.scoring.results import Metrics as ClassRetrieval
from cir.core.errors import UserError
from cir.edits.results import Metrics as Tagger
from cir.retrieval.results import Metrics as Retrieval
from cir.text_search.scoring.results import EncodersMetrics, TextSearchMetrics
from cir.training.results import ComposersMetrics, FinetuneMetrics

CURVES = ("tagger", "pretrain", "finetune", "recall_at_k")


@dataclass(frozen=True)
class Sheet:
    """A JPEG file as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Results:
    """Results of the main job.

    `curves` has a table for each name in CURVES; `experiments` is None if there are none.
    """

    retrieval: Retrieval
    tagger: Tagger
    finetune: FinetuneMetrics
    comparison: ComposersMetrics
    ablation: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    experiments: pd.DataFrame | None


@dataclass(frozen=True)
class ClassResults:
    """Results of class-level retrieval; `curve` is the table of the embedder's training."""

    retrieval: ClassRetrieval
    training: ClassTraining
    curve: pd.DataFrame
    sheet: Sheet


@dataclass(frozen=True)
class TextResults:
    """Results of search by words; `encoders` is None if no encoders were compared."""

    search: TextSearchMetrics
    sheet: Sheet
    encoders: EncodersMetrics | None


def read_results(
    retrieval: Path,
    tagger: Path,
    finetune: Path,
    composers: Path,
    ablation: Path,
    curves: Path,
    experiments: Path,
) -> Results:
    """Read the results of the main job; `curves` is the folder with the tables of CURVES.

    `experiments` may be missing or empty, since a user writes it when there is something to
    compare. Raises UserError naming any other file that is missing or does not fit its form.
    """
    return Results(
        Retrieval.read(retrieval),
        Tagger.read(tagger),
        FinetuneMetrics.read(finetune),
        ComposersMetrics.read(composers),
        read_table(ablation, ("variant", "accuracy")),
        {name: read_table(curves / f"{name}.csv") for name in CURVES},
        _experiments(experiments),
    )


def read_class_results(
    retrieval: Path, training: Path, curve: Path, sheet: Path
) -> ClassResults | None:
    """Read the results of class-level retrieval; return None if none of the files exists.

    Raises UserError naming a file that is missing while others exist, or that does not fit its
    form.
    """
    if not any(path.exists() for path in (retrieval, training, curve, sheet)):
        return None
    return ClassResults(
        ClassRetrieval.read(retrieval),
        ClassTraining.read(training),
        read_table(curve, ("step", "map")),
        read_sheet(sheet),
    )


def read_text_results(search: Path, sheet: Path, encoders: Path) -> TextResults | None:
    """Read the results of search by words; return None if none of the files exists.

    `encoders` may be missing. Raises UserError naming any other file that is missing while others
    exist, or that does not fit its form.
    """
    if not any(path.exists() for path in (search, sheet, encoders)):
        return None
    return TextResults(
        TextSearchMetrics.read(search),
        read_sheet(sheet),
        EncodersMetrics.read(encoders) if encoders.exists() else None,
    )


def read_table(path: Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a CSV file.

    Raises UserError if it is missing, is not a table or lacks one of `columns`.
    """
    try:
        table = pd.read_csv(path, dtype_backend="numpy_nullable")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a table of comma-separated values: {error}") from None
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise UserError(f"{path} lacks the column {lacking[0]}; its columns are {', '.join(table)}")
    return table


def read_sheet(path: Path) -> Sheet:
    """Read a JPEG file as it is: encoding it again would lose quality.

    Raises UserError if it is missing or cannot be decoded.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            width, height = image.size
            image.load()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that writes it") from None
    except OSError as error:
        raise UserError(f"{path} is not a JPEG picture that can be read: {error}") from None
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return Sheet(f"data:image/jpeg;base64,{content}", width, height)


def _experiments(path: Path) -> pd.DataFrame | None:
    if not path.is_file() or not path.read_text(encoding="utf-8").strip():
        return None
    table = read_table(path)
    return table if len(table) else None
