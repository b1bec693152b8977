"""Train the tagger on the expanded templates and measure it on every held-out split."""

import csv
import os
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from datasets import load_from_disk
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from transformers import PreTrainedModel, logging
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

import cir
from cir import files
from cir import tagger_training as training
from cir.edit_grammar import read_clauses
from cir.edit_words import read_edit_words
from cir.tagger import Tagger
from cir.tagger_models import MicroSize, fresh_model, pretrained_model
from cir.tagger_vocabulary import context_words
from cir.tagging_augmentation import Augmenter, Material, Strength
from cir.tagging_data import SPLITS, from_dataset
from cir.tagging_metrics import breakdown
from cir.templates import TaggedSentence, Template
from stages import Section, StageParams, load, run

DATA = Path("data/tagging")
WORDS = Path("data/edit_words.json")
CLAUSES = Path("data/edit_clauses.json")
MODEL = Path("models/tagger")
METRICS = Path("metrics/tagger.json")
CURVE = Path("metrics/curves/tagger.csv")
TESTED = ("seen", "unseen_templates", "unseen_objects", "both_unseen")

Share = Annotated[float, Field(ge=0, le=1)]


class FromScratch(Section):
    """A DistilBERT with random weights; sizes as in cir.tagger_models.MicroSize."""

    start: Literal["scratch"]
    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    hidden: PositiveInt
    dropout: Share
    longest: PositiveInt


class Pretrained(Section):
    """An encoder by its hub name or folder."""

    start: Literal["pretrained"]
    checkpoint: str


class Varied(Section):
    """How often training sentences vary in each way: cir.tagging_augmentation.Strength."""

    made_up: Share
    coloured: Share
    determiner: Share
    described: Share
    place: Share
    verb: Share
    phrase: Share
    opposite: Share
    listed: Share
    composed: Share
    idle: Share
    joined: Share
    opened: Share
    hidden: Share
    surface: Share


class TrainTagger(Section):
    """See cir.tagger_training.Recipe."""

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    warmup_share: Share
    weight_decay: NonNegativeFloat
    label_smoothing: Share
    evaluations: PositiveInt
    as_written: Share
    varied: Varied


class Params(StageParams):
    seed: int
    tagger: Annotated[FromScratch | Pretrained, Field(discriminator="start")]
    train_tagger: TrainTagger


def main() -> None:
    params = load(Params)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    splits = {name: from_dataset(load_from_disk(DATA / name)) for name in SPLITS}
    with files.exclusive(MODEL):
        checkpoints = _checkpoint_folder(params)
        with files.whole_folder(MODEL) as folder:
            curve = _train(params, splits, checkpoints, folder)
        _write_curve(curve)
        _measure(splits)
        shutil.rmtree(checkpoints)


def _checkpoint_folder(params: Params) -> Path:
    """Outside DVC's outputs, which it deletes before a stage; named after all that matters."""
    base = Path(os.environ.get("CIR_CHECKPOINTS", ".checkpoints"))
    code = sorted(Path(cir.__file__).parent.glob("*.py"))
    return base / f"tagger-{files.fingerprint(params.model_dump(), DATA, WORDS, CLAUSES, *code)}"


def _train(
    params: Params, splits: dict[str, list[TaggedSentence]], checkpoints: Path, folder: Path
) -> list[dict[str, float]]:
    names = files.read_json(DATA / "names.json")
    templates = {
        split: [Template(**entry) for entry in entries]
        for split, entries in files.read_json(DATA / "templates.json").items()
    }
    material = Material(
        templates=templates["train"],
        held_out=templates["validation"] + templates["test"],
        names=names["train"],
        words=read_edit_words(WORDS).without(names["train"], held_out=names["test"]),
        clauses=read_clauses(CLAUSES).without(names["test"]),
    )
    section = params.train_tagger
    augmenter = Augmenter(material, Strength(**section.varied.model_dump()))
    recipe = training.Recipe(**section.model_dump(exclude={"varied"}))
    sentences = training.VariedSentences(splits["train"], augmenter, recipe, params.seed)
    varied = training.VariedSentences(splits["validation"], augmenter, recipe, params.seed + 1)
    validation = splits["validation"] + [
        varied[index] for index in range(len(splits["validation"]))
    ]
    model, tokenizer = _start(params, material)
    model, curve = training.train(
        model, tokenizer, sentences, validation, recipe, params.seed, checkpoints
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return curve


def _start(params: Params, material: Material) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if isinstance(params.tagger, Pretrained):
        return pretrained_model(params.tagger.checkpoint, params.seed)
    torch.set_num_threads(1)  # so small a model gains nothing from more; and metrics repeat exactly
    size = MicroSize(**params.tagger.model_dump(exclude={"start"}))
    words = context_words(material.templates, material.names, material.words, material.clauses)
    return fresh_model(size, words, params.seed)


def _write_curve(curve: list[dict[str, float]]) -> None:
    columns = ("step", "loss", "learning_rate", "eval_loss", "eval_exact_edit")
    with files.whole_file(CURVE) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)


def _measure(splits: dict[str, list[TaggedSentence]]) -> None:
    tagger = Tagger.load(MODEL, "cuda" if torch.cuda.is_available() else "cpu")
    results: dict[str, Any] = {}
    for name in TESTED:
        predicted = tagger.word_labels([sentence.text for sentence in splits[name]])
        results[name] = breakdown(splits[name], predicted)
        print(f"{name}: {results[name]['exact_edit']:.2%} exact edits of {len(splits[name]):,}")
    sizes = {name: len(sentences) for name, sentences in splits.items()}
    files.write_json(METRICS, {"splits": results, "sizes": sizes})


if __name__ == "__main__":
    run(main)
