"""Measure the encoder on a folder of photographs, before and after fine-tuning.

Without a folder the stage leaves metrics/photos.json as it is.
"""

from pathlib import Path

import numpy as np

from cir import composers
from cir.classes.scoring.results import Metrics as ClassMetrics
from cir.composers.model import EncodedComposer
from cir.composers.params import AnyComposer
from cir.core import files
from cir.core.device import DEVICE
from cir.core.errors import UserError
from cir.core.metrics_files import Fingerprint
from cir.datasets import contest
from cir.edits.reading.tagger import Tagger
from cir.encoders import Encoder
from cir.images.shards import ImageShards, read_triplets
from cir.retrieval.evaluation import encode_images, evaluate, require_queries
from cir.retrieval.measuring import Measure
from cir.retrieval.params import Photos
from cir.retrieval.ranking.embedding import Embeddings, unit_rows
from cir.retrieval.ranking.protocol import Protocol
from cir.retrieval.ranking.ranking import Ranking, rank
from cir.retrieval.results import ClassFigures, Result
from cir.retrieval.results import PhotoMetrics as Metrics
from cir.retrieval.retriever import Retriever
from cir.retrieval.scoring import query_vectors
from cir.retrieval.task import Task
from cir.text_search.data import captioned_folder
from stages.params import StageParams, load
from stages.run import run

BASE = Path("models/encoder_base")
ENCODER = Path("models/encoder")
TAGGER = Path("models/tagger")
TEST = Path("data/retrieval/test")
CLASSES = Path("metrics/class_retrieval.json")
METRICS = Path("metrics/photos.json")
BEFORE, AFTER = "before fine-tuning", "fine-tuned"
CAPTIONS = "captions.jsonl"  # in the folder of photographs


class Params(StageParams):
    seed: int
    composer: AnyComposer
    photos: Photos


def main() -> None:
    params = load(Params)
    folder, measure = params.photos.folder, Measure(params.seed)
    if folder is None:
        print(f"photos.folder is null: {METRICS} stays as it is")
        return
    require_test_part_of(folder)
    before, after = before_and_after(params)
    fingerprints = [
        Fingerprint(model=what, fingerprint=model.encoder.fingerprint())
        for what, model in ((BEFORE, before), (AFTER, after))
    ]
    fingerprints.append(Fingerprint(model="tagger", fingerprint=files.fingerprint(TAGGER)))
    whole = evaluate(folder, before, BASE.name, fingerprints, seed=params.seed)
    results = [_renamed(result, f"{result.what}, {BEFORE}") for result in whole.results]
    results += captions(folder, before, measure)
    rankings = {BEFORE: of_test_part(before), AFTER: of_test_part(after)}
    protocol = Protocol("contest-like", split="test part")
    results += [
        measure.result(f"image and edit, test part, {what}", ranking, protocol)
        for what, ranking in rankings.items()
    ]
    Metrics(
        folder=folder.name,
        results=results,
        composition_gap=whole.composition_gap,
        gains=measure.gains(rankings[BEFORE].target_ranks, rankings[AFTER].target_ranks),
        classes=of_classes() if params.photos.classes else [],
        fingerprints=fingerprints,
    ).write(METRICS)


def require_test_part_of(folder: Path) -> None:
    """Raise UserError unless the images of the test part are images of the folder's queries."""
    require_queries(folder)
    strange = set(ImageShards(TEST).ids) - set(contest.read(folder).paths)
    if strange:
        raise UserError(
            f"photos.folder is {folder}, but {len(strange)} images of {TEST} are not in it, such "
            f"as {min(strange)}: set data=contest and data.root to the same folder"
        )


def before_and_after(params: Params) -> tuple[Retriever, Retriever]:
    """Return the retriever with which fine-tuning starts, and the one with which it ends."""
    encoder, tagger = Encoder.load(BASE), Tagger.load(TAGGER, DEVICE)
    composer = composers.create(params.composer, encoder.dim, encoder.text_dim)
    start = EncodedComposer(encoder, composer).to(DEVICE)
    return Retriever(start, tagger), Retriever(EncodedComposer.load(ENCODER).to(DEVICE), tagger)


def of_test_part(retriever: Retriever) -> Ranking:
    """Rank the images of the test part for its queries."""
    images, triplets = ImageShards(TEST), read_triplets(TEST)
    vectors = retriever.encode_gallery([images.image(name) for name in images.ids])
    task = Task(triplets, Embeddings(images.ids, vectors, retriever.encoder.fingerprint()))
    edits = retriever.tagger.tag([triplet.text for triplet in triplets])
    return task.rank(query_vectors(retriever, images, triplets, edits))


def captions(folder: Path, retriever: Retriever, measure: Measure) -> list[Result]:
    """Search the captioned images of the folder by each caption, if there are any."""
    if not (folder / CAPTIONS).is_file():
        return []
    described, there = captioned_folder.find(folder, Path(CAPTIONS))
    paths = {name: there[name] for name in described}
    images = encode_images(retriever, paths)
    if not images.ids:
        raise UserError(f"none of {len(paths)} captioned images of {folder} can be read")
    row_of = {name: row for row, name in enumerate(images.ids)}
    asked = [(name, text) for name, texts in described.items() for text in texts if name in row_of]
    ranking = rank(
        retriever.encode_texts([text for _, text in asked]),
        unit_rows(images.features, images.ids).numpy(),
        [f"{name}#{number}" for number, (name, _) in enumerate(asked)],
        images.ids,
        np.array([row_of[name] for name, _ in asked]),
    )
    lost = len(images.unreadable)
    protocol = Protocol(
        "all test images",
        query="sentence",
        edit="none",
        text="the target's caption",
        left_out=f"{lost} of {len(paths)} images and their captions" if lost else None,
    )
    return [measure.result(f"captions, {BEFORE}", ranking, protocol)]


def of_classes() -> list[ClassFigures]:
    """Return the figures of the class embedder of this run, and of its tower before training."""
    wanted = ("embedder", "tower before training")
    return [
        ClassFigures(
            **result.model_dump(
                by_alias=True, include={"what", "recall_at_1", "map", "queries", "gallery_size"}
            ),
            protocol=result.protocol.model_dump(exclude_none=True),
        )
        for result in ClassMetrics.read(CLASSES).results
        if result.protocol.vectors in wanted and result.protocol.refinement == "none"
    ]


def _renamed(result: Result, what: str) -> Result:
    return result.model_copy(update={"what": what})


if __name__ == "__main__":
    run(main)
