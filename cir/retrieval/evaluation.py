"""Measure a retriever on a folder of queries in the contest's format, without training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from cir.composers.base import made_of
from cir.core.device import in_threads
from cir.core.english import listed
from cir.core.errors import UserError
from cir.core.metrics_files import Fingerprint
from cir.core.progress import progress, say
from cir.datasets import contest
from cir.edits.reading.templates import Template
from cir.images.decoding import decode
from cir.retrieval.breakdown import kind_of
from cir.retrieval.measuring import BOTH, EDIT, IMAGE, Measure, measure_inputs
from cir.retrieval.near_misses import measure_near_misses
from cir.retrieval.paraphrases import WAYS, measure_paraphrases
from cir.retrieval.ranking.device_batches import DeviceBatches
from cir.retrieval.ranking.embedding import Embeddings, images_at_once, unit_rows
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.results import Absent, Evaluation, Figures, Problem
from cir.retrieval.retriever import Retriever
from cir.retrieval.task import Task, compose_queries, edit_vectors, encode_edits

_NAMES = {name: name for name in (BOTH, EDIT, IMAGE)}


@dataclass(frozen=True)
class Images:
    """The encoded images of a folder: row i of `features` [N, D], not normalised, is `ids[i]`.

    `unreadable` lists the images that could not be decoded, with the reasons.
    """

    ids: tuple[str, ...]
    features: torch.Tensor
    unreadable: tuple[Problem, ...]


def evaluate(
    folder: Path,
    retriever: Retriever,
    model: str,
    fingerprints: Sequence[Fingerprint],
    templates: Sequence[Template] = (),
    least: int = WAYS,
    seed: int = 0,
) -> Evaluation:
    """Ask every query of a folder, and rank all images that the queries name.

    Each image and each name is encoded once. Images that cannot be read are left out with the
    queries that need them. An edit in which the tagger finds no object counts as a query.

    Args:
        folder: holds data.csv, and the images beside it or in images/; sentences may be blank.
        model, fingerprints: what the result says of the model.
        templates: held-out templates, by which every edit is asked in at least `least` ways.
        seed: that of the bootstrap intervals.

    Raises:
        UserError: data.csv or an image is missing, or no query is left to be asked.
    """
    require_queries(folder)
    given = contest.read(folder, blank_sentences=True)
    triplets = given.triplets
    wanted = dict.fromkeys(name for t in triplets for name in (t.reference, t.target))
    images = encode_images(retriever, {name: given.paths[name] for name in wanted})
    known = set(images.ids)
    asked = [t for t in triplets if t.reference in known and t.target in known]
    if not asked:
        raise UserError(
            f"{folder}: none of {len(triplets)} queries can be asked, because "
            f"{len(images.unreadable)} of {len(wanted)} images cannot be read: "
            + listed([problem.why for problem in images.unreadable], "; ")
        )
    left_out = None
    if images.unreadable:
        left_out = (
            f"{len(triplets) - len(asked)} of {len(triplets)} queries and "
            f"{len(images.unreadable)} of {len(wanted)} gallery images"
        )
    twice = contest.with_copies(asked, {name: given.paths[name] for name in images.ids})
    if twice:
        say(contest.copies_told(twice, str(folder)))
    vectors = unit_rows(images.features, images.ids).numpy()
    task = Task(asked, Embeddings(images.ids, vectors, retriever.encoder.fingerprint()))
    query, edit = made_of(retriever.model.composer)
    protocol = Protocol("contest-like", query, edit, left_out=left_out)
    measured = _measured(retriever, task, images.features, protocol, templates, least, seed)
    lost = {t.id for t in triplets} - {t.id for t in asked}
    return Evaluation(
        model=model,
        fingerprints=list(fingerprints),
        gallery_size=len(images.ids),
        unreadable=list(images.unreadable),
        left_out=sorted(lost),
        **measured,
    )


def require_queries(folder: Path) -> None:
    """Raise UserError if the folder has no data.csv."""
    if (folder / "data.csv").is_file():
        return
    inside = [name for name in ("test", "val") if (folder / name / "data.csv").is_file()]
    hint = f"; {folder / inside[0]} has one" if inside else ""
    raise UserError(
        f"{folder} has no queries: expected a file data.csv there with the columns "
        f"{', '.join(contest.COLUMNS)}{hint}"
    )


def encode_images(retriever: Retriever, paths: Mapping[str, Path]) -> Images:
    """Decode and encode image files, each once, a batch in each thread."""
    encoder = retriever.encoder
    size = images_at_once(encoder.image_size, encoder.device)
    encoded = DeviceBatches(encoder)

    def encode(batch: list[tuple[str, Path]]):
        names, pixels, problems = [], [], []
        for name, path in batch:
            try:
                pixels.append(encoder.preprocess(decode(path, name)))
                names.append(name)
            except UserError as error:
                problems.append(Problem(name=name, why=str(error)))
        if not names:
            return names, torch.zeros(0, encoder.dim), problems
        with torch.inference_mode():
            return names, encoded(np.stack(pixels)).float().cpu(), problems

    shown = progress(
        in_threads(encode, _batches(paths, size)),
        len(paths),
        "encoding the images",
        "images",
        units_in=lambda found: len(found[0]) + len(found[2]),
    )
    names, features, problems = zip(*shown, strict=True)
    return Images(
        tuple(name for own in names for name in own),
        torch.cat(features),
        tuple(problem for own in problems for problem in own),
    )


def _batches(paths: Mapping[str, Path], size: int) -> Iterator[list[tuple[str, Path]]]:
    files = iter(paths.items())
    while batch := list(islice(files, size)):
        yield batch


def _measured(
    retriever: Retriever,
    task: Task,
    features: torch.Tensor,
    protocol: Protocol,
    templates: Sequence[Template],
    least: int,
    seed: int,
) -> dict[str, object]:
    """Return the figures of the queries, as fields of Evaluation."""
    measure, references = Measure(seed), features[task.references]
    edits = retriever.tagger.tag([triplet.text for triplet in task.triplets])
    encoded = encode_edits(retriever, edits)
    queries = compose_queries(retriever, references, encoded)
    kinds = [kind_of(edit) for edit in edits]
    alone = edit_vectors(retriever, encoded)
    found = measure_inputs(task, queries, alone, protocol, _NAMES, measure, kinds)
    both, edit, image = (
        Figures(**result.model_dump(include=set(Figures.model_fields)))
        for result in found.results[:3]
    )
    paraphrases, absent = [], found.absent
    if templates:
        correct = task.rank(queries).correct
        asked = edits, correct, protocol, templates, measure, least
        paraphrases = measure_paraphrases(retriever, task, references, *asked)
        if not paraphrases:
            why = f"the held-out templates ask for no edit of the queries in {least} ways"
            absent.append(Absent(what="paraphrases", why=why))
    empty = [
        Problem(name=triplet.id, why=f"no object in {triplet.text!r}")
        for triplet, edit in zip(task.triplets, edits, strict=True)
        if not (edit.add or edit.remove)
    ]
    return {
        **both.model_dump(),
        "queries": len(task.triplets),
        "edit_alone": edit,
        "image_alone": image,
        "composition_gap": found.composition[0].gap,
        "results": found.results,
        "by_kind": found.by_kind,
        "composition": found.composition,
        "near_misses": measure_near_misses(task, queries, measure),
        "paraphrases": paraphrases,
        "absent": absent,
        "empty_edits": empty,
    }
