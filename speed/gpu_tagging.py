"""Measure the tagger on a GPU: reading against the bare model, and training against its sentences.

The sentences are those of the stage expand_templates, so `dvc repro expand_templates` comes first.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from datasets import load_from_disk
from torch.utils.data import Dataset
from transformers import PreTrainedModel, logging

from cir.core.device import DEVICE
from cir.edits import training as tagger_training
from cir.edits.augmentation import Augmenter, read_material
from cir.edits.expansion import from_dataset
from cir.edits.models import context_words, fresh_model
from cir.edits.params import FromScratch
from cir.edits.reading.pieces import Pieces
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.templates import TaggedSentence
from speed.encoding import tagging_share
from stages import train_tagger
from stages.params import load

_TOGETHER = 256
_SIZES = {
    "DistilBERT's size": FromScratch(
        layers=6, width=768, heads=12, hidden=3072, dropout=0.1, longest=512
    ),
    "the default's size": FromScratch(
        layers=6, width=384, heads=12, hidden=1536, dropout=0.1, longest=512
    ),
}


def reading() -> dict[str, float]:
    """Return the rate of reading edits, and its share of the model's own rate."""
    count = (16 if DEVICE == "cuda" else 1) * _TOGETHER
    texts = [sentence.text for sentence in _sentences("train")[:count]]
    figures = {}
    for size, params in _SIZES.items():
        tagger = Tagger(*_fresh(params))
        tagger._model.to(DEVICE)
        share = tagging_share(tagger, texts, _TOGETHER)
        started = time.perf_counter()
        tagger.tag(texts, _TOGETHER)
        rate = len(texts) / (time.perf_counter() - started)
        figures[f"reading edits with {size}, {_TOGETHER} at a time, sentences/s"] = rate
        figures[f"reading edits with {size} / the bare rate of the model"] = share
    return figures


def training(steps: int) -> dict[str, float]:
    """Return the steps a second of training the tagger, and of training on sentences made before.

    Both have the default's recipe and size.
    """
    logging.set_verbosity_error()
    recipe = load(train_tagger.Params).train_tagger
    recipe = recipe.model_copy(update={"steps": steps, "evaluations": 1})
    material = read_material(train_tagger.DATA, train_tagger.WORDS, train_tagger.CLAUSES)
    augmenter = Augmenter(material, recipe.varied)
    _, tokenizer = _fresh(_SIZES["the default's size"])
    pieces = Pieces(tokenizer)
    kinds = [
        tagger_training.VariedSentences(_sentences("train"), augmenter, recipe, 0, pieces)
        for _ in range(2)
    ]
    before = [kinds[1][number] for number in range(len(kinds[1]))]
    rates = []
    for sentences in (kinds[0], before):
        model, tokenizer = _fresh(_SIZES["the default's size"])
        rates.append(_rate(model, tokenizer, sentences, recipe))
    return {
        "training the tagger, steps/s": rates[0],
        "the same / with sentences that were made before": rates[0] / rates[1],
    }


def _rate(
    model: PreTrainedModel,
    tokenizer,
    sentences: Dataset | Sequence[TaggedSentence],
    recipe: train_tagger.TrainTagger,
) -> float:
    """Return the steps a second after the first fifth of the steps, which starts the loader."""
    times: list[float] = []
    model.register_forward_hook(lambda *_: times.append(time.perf_counter()))
    with TemporaryDirectory() as place:
        tagger_training.train(
            model, tokenizer, sentences, _sentences("validation")[:64], recipe, 0, Path(place)
        )
    first = recipe.steps // 5
    return (recipe.steps - 1 - first) / (times[recipe.steps - 1] - times[first])


def _sentences(split: str) -> list[TaggedSentence]:
    return from_dataset(load_from_disk(train_tagger.DATA / split))


def _fresh(params: FromScratch):
    material = read_material(train_tagger.DATA, train_tagger.WORDS, train_tagger.CLAUSES)
    words = context_words(material.templates, material.names, material.words, material.clauses)
    torch.manual_seed(0)
    return fresh_model(params, words, 0)
