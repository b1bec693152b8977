"""Train the tagger on the expanded templates and measure it on every held-out split."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
from datasets import load_from_disk
from pydantic import Field
from transformers import PreTrainedModel, logging
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cir.core import files
from cir.core.checkpoints import checkpoint_folder
from cir.core.curves import Curve, event_folder
from cir.core.device import DEVICE
from cir.edits import training
from cir.edits.augmentation import Augmenter, Material, read_material
from cir.edits.expansion import SPLITS, from_dataset
from cir.edits.held_out import PEOPLE
from cir.edits.measuring import calibration, measure
from cir.edits.models import context_words, fresh_model, pretrained_model
from cir.edits.params import FromScratch, Pretrained, TrainTagger
from cir.edits.reading.pieces import Pieces
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.templates import TaggedSentence
from cir.edits.results import Metrics
from stages.params import StageParams, load
from stages.run import code_of, run

DATA = Path("data/tagging")
WORDS = Path("data/edit_words.json")
CLAUSES = Path("data/edit_clauses.json")
MODEL = Path("models/tagger")
METRICS = Path("metrics/tagger.json")
CURVE = Path("metrics/curves/tagger.csv")
# How far a pretrained encoder goes back to its start; chosen on the development half of other
# people's sentences, among 0, 0.1, 0.2 and 0.3.
START_SHARE = 0.2
COLUMNS = ("step", "loss", "learning_rate", "eval_loss", "eval_exact_edit")


class Params(StageParams):
    seed: int
    tensorboard: str | None
    tagger: Annotated[FromScratch | Pretrained, Field(discriminator="start")]
    train_tagger: TrainTagger


def main() -> None:
    params = load(Params)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    splits = {name: from_dataset(load_from_disk(DATA / name)) for name in (*SPLITS, *PEOPLE)}
    recipe = params.model_dump(exclude={"tensorboard"})
    checkpoints = checkpoint_folder("tagger", recipe, *code_of(__file__), DATA, WORDS, CLAUSES)
    with files.exclusive(MODEL, checkpoints):
        curve = Curve(CURVE, COLUMNS, event_folder(params.tensorboard, checkpoints))
        with files.whole_folder(MODEL) as folder:
            history = _train(params, splits, checkpoints, folder, curve)
        curve.write(history)
        _measure(splits)
        shutil.rmtree(checkpoints)


def _train(
    params: Params,
    splits: dict[str, list[TaggedSentence]],
    checkpoints: Path,
    folder: Path,
    curve: Curve,
) -> list[dict[str, float]]:
    material = read_material(DATA, WORDS, CLAUSES)
    recipe = params.train_tagger
    augmenter = Augmenter(material, recipe.varied)
    model, tokenizer = _start(params, material)
    pieces = Pieces(tokenizer, model.config.context_words)
    sentences = training.VariedSentences(splits["train"], augmenter, recipe, params.seed, pieces)
    validation = splits["validation"]
    # A data set is as long as its recipe's training, and here one variation of each is read.
    enough = recipe.model_copy(update={"steps": -(-len(validation) // recipe.batch_size)})
    varied = training.VariedSentences(validation, augmenter, enough, params.seed + 1)
    validation = validation + [varied[index] for index in range(len(validation))]
    start_share = START_SHARE if isinstance(params.tagger, Pretrained) else 0.0
    model, history = training.train(
        *(model, tokenizer, sentences, validation, recipe, params.seed, checkpoints),
        *(curve.follow, start_share),
    )
    fitted = calibration(Tagger(model, tokenizer), splits[PEOPLE[0]])
    model.config.calibration = asdict(fitted)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return history


def _start(params: Params, material: Material) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    words = context_words(material.templates, material.names, material.words, material.clauses)
    chosen = params.tagger
    if isinstance(chosen, Pretrained):
        return pretrained_model(
            chosen.checkpoint, params.seed, chosen.layers, words, frozen=chosen.frozen
        )
    torch.set_num_threads(1)  # so small a model gains nothing from more; and metrics repeat exactly
    return fresh_model(chosen, words, params.seed)


def _measure(splits: dict[str, list[TaggedSentence]]) -> None:
    metrics: Metrics = measure(Tagger.load(MODEL, DEVICE), splits)
    for split in metrics.splits:
        print(f"{split.split}: {split.exact_edit:.2%} exact edits of {split.count:,}")
    metrics.write(METRICS)


if __name__ == "__main__":
    run(main)
