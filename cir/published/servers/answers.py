"""A saved model asked the queries of a published dataset: scored, or filed for a test server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cir.composers.base import made_of, reads_tags
from cir.composers.model import EncodedComposer
from cir.core import files
from cir.core.errors import UserError
from cir.core.progress import say
from cir.edits.reading.tagger import Tagger
from cir.published.datasets import Benchmark, BenchmarkDataset
from cir.published.datasets.base import Absent
from cir.published.experiment.answering import Pictures, answer_benchmarks, untagged
from cir.published.experiment.scoring import Answers, Row, cannot_be_scored, results
from cir.published.servers.server_files import for_server
from cir.published.servers.what_is_there import answers_command
from cir.training.shared.batches import Pixels


@dataclass(frozen=True)
class Saved:
    """Where a model lies: an encoder with its composer in one folder, a tagger in another.

    The tagger is opened only for a composer that reads objects; those trained on published
    datasets read the sentences as they are.
    """

    model: Path
    tagger: Path


def score(
    dataset: BenchmarkDataset,
    names: Sequence[str],
    saved: Saved,
    out: Path | None = None,
    absent: Absent = "refuse",
) -> list[Row]:
    """Score a model on parts or splits, and write the rows to `out` as JSON if it is given.

    Raises UserError before anything is encoded where the answers are withheld.
    """
    chosen = dict.fromkeys(part.name for name in names for part in dataset.measured(name))
    for name in chosen:
        _require_answers(dataset, name)
    benchmarks = [one for name in chosen for one in dataset.benchmarks(name, absent)]
    model = EncodedComposer.load(saved.model)
    answers = _answer(model, saved, dataset, benchmarks)
    rows = results(benchmarks, answers, *made_of(model.composer))
    if out is not None:
        files.write_json(out, {"model": str(saved.model), "results": rows})
    return rows


def write_answers(
    dataset: BenchmarkDataset, name: str, saved: Saved, folder: Path
) -> tuple[Path, ...]:
    """Write the files that the dataset's test server takes to `folder`.

    Raises UserError before anything is encoded where there is no such server.
    """
    server, _ = for_server(dataset, name)
    (benchmark,) = dataset.benchmarks(name)
    model = EncodedComposer.load(saved.model)
    (answers,) = _answer(model, saved, dataset, [benchmark])
    return server.write(folder, benchmark, answers)


def _require_answers(dataset: BenchmarkDataset, name: str) -> None:
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
    dataset: BenchmarkDataset,
    benchmarks: Sequence[Benchmark],
) -> list[Answers]:
    """Answer the benchmarks, on a GPU if there is one, and tell their notes."""
    for benchmark in benchmarks:
        for note in benchmark.notes:
            say(f"{benchmark.name}: {note}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    read = Tagger.load(saved.tagger, device).tag if reads_tags(model.composer) else untagged
    model = model.to(device).eval()
    where = {name: path for benchmark in benchmarks for name, path in benchmark.images.items()}
    # Each image is asked for once, so none need be kept.
    source = Pixels(Pictures(dataset, where), model.encoder, budget=0)
    return answer_benchmarks(model, source, benchmarks, read)
