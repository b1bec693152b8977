"""Run a saved model on a published dataset: score its answers, or write them for a test server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cir.composers.base import made_of, reads_tags
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.core.progress import say
from cir.edits.reading.tagger import Tagger
from cir.published.datasets import PublishedDataset, QuerySet
from cir.published.datasets.base import Absent
from cir.published.experiment.answering import (
    Pictures,
    answer_by_input,
    answer_query_sets,
    untagged,
)
from cir.published.experiment.scoring import BOTH, Row, cannot_be_scored, results
from cir.published.servers.server_files import for_server
from cir.published.servers.what_is_there import answers_command
from cir.training.shared.batches import Pixels

Given = TypeVar("Given")


@dataclass(frozen=True)
class Saved:
    """The folders of a saved model: an encoder with its composer, and a tagger.

    The tagger is loaded only for a composer that reads objects. Composers trained on published
    datasets read the plain sentences.
    """

    model: Path
    tagger: Path


def score(
    dataset: PublishedDataset,
    names: Sequence[str],
    saved: Saved,
    out: Path | None = None,
    absent: Absent = "refuse",
) -> list[Row]:
    """Score a model on parts or splits, and write the rows to `out`, if given, as JSON.

    Raises UserError before anything is encoded if the answers are withheld.
    """
    chosen = dict.fromkeys(part.name for name in names for part in dataset.measured(name))
    for name in chosen:
        _require_answers(dataset, name)
    query_sets = [one for name in chosen for one in dataset.query_sets(name, absent)]
    model = EncodedComposer.load(saved.model)
    answers = _answer(model, saved, dataset, query_sets, answer_by_input)
    both = [by_input[BOTH] for by_input in answers]
    rows = results(query_sets, both, *made_of(model.composer), answers)
    if out is not None:
        files.write_json(out, {"model": str(saved.model), "results": rows})
    return rows


def write_answers(
    dataset: PublishedDataset, name: str, saved: Saved, folder: Path
) -> tuple[Path, ...]:
    """Write the files for the dataset's test server to `folder`.

    Raises UserError before anything is encoded if there is no such server.
    """
    server, _ = for_server(dataset, name)
    (query_set,) = dataset.query_sets(name)
    model = EncodedComposer.load(saved.model)
    (answers,) = _answer(model, saved, dataset, [query_set], answer_query_sets)
    return server.write(folder, query_set, answers)


def _require_answers(dataset: PublishedDataset, name: str) -> None:
    (part,) = dataset.measured(name)
    if part.use not in ("withheld", "test server"):
        return
    sentence = cannot_be_scored(part.read())
    if part.use == "withheld":
        raise UserError(f"{sentence}, and it has no test server")
    command = answers_command(dataset, name)
    raise UserError(f"{sentence}; for the files that its test server scores: {command}")


def _answer(
    model: EncodedComposer,
    saved: Saved,
    dataset: PublishedDataset,
    query_sets: Sequence[QuerySet],
    answer: Callable[..., list[Given]],
) -> list[Given]:
    """Answer the query sets, on a GPU if there is one, and print their notes."""
    for query_set in query_sets:
        for note in query_set.notes:
            say(f"{query_set.name}: {note}")
    read = Tagger.load(saved.tagger, DEVICE).tag if reads_tags(model.composer) else untagged
    model = model.to(DEVICE).eval()
    where = {name: path for query_set in query_sets for name, path in query_set.images.items()}
    # Each image is read once, so none needs to stay in memory.
    source = Pixels(Pictures(dataset, where), model.encoder, budget=0)
    return answer(model, source, query_sets, read)
