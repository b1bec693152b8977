"""Token classifiers to train: from scratch, or from a pretrained encoder."""

from collections.abc import Iterable
from typing import Any

from safetensors import SafetensorError
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForTokenClassification,
    PreTrainedModel,
    set_seed,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cir.core.errors import UserError
from cir.edits.params import FromScratch
from cir.edits.reading.templates import LABELS
from cir.edits.vocabulary import context_tokenizer


def fresh_model(
    size: FromScratch, words: Iterable[str], seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A DistilBERT with random weights, and a tokenizer that knows `words` and no other."""
    tokenizer = context_tokenizer(words, size.longest)
    set_seed(seed)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=size.longest,
        n_layers=size.layers,
        dim=size.width,
        n_heads=size.heads,
        hidden_dim=size.hidden,
        dropout=size.dropout,
        attention_dropout=size.dropout,
        seq_classif_dropout=size.dropout,
        initializer_range=0.06,  # the customary 0.02 is for wider models; learning starts slowly
        pad_token_id=tokenizer.pad_token_id,
        **_label_names(),
    )
    return DistilBertForTokenClassification(config), tokenizer


def pretrained_model(name: str, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A pretrained encoder, by hub name or folder, under a new layer of labels.

    Raises UserError if the name leads nowhere, the hub is out of reach, transformers knows no
    token classifier of that architecture, or the weights are those of another one.
    """
    set_seed(seed)  # the new layer's weights
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model, report = AutoModelForTokenClassification.from_pretrained(
            name, output_loading_info=True, ignore_mismatched_sizes=True, **_label_names()
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"tagger.checkpoint: {name!r} is neither a folder with, nor within reach on the hub, "
            f"an encoder that transformers loads for token classification: {reason}"
        ) from None
    inside = f"{model.base_model_prefix}."
    wrong = [key for key in report["missing_keys"] if key.startswith(inside)]
    wrong += [key for key, *_ in report["mismatched_keys"] if key.startswith(inside)]
    if wrong:
        raise UserError(
            f"tagger.checkpoint: the weights in {name!r} are not of the architecture that its "
            f"config.json names ({model.config.model_type}): {len(wrong)} are missing or of "
            f"another size, {wrong[0]} for one."
        )
    if not tokenizer.is_fast:
        raise UserError(f"tagger.checkpoint: {name!r} has no fast tokenizer, which is needed here.")
    if hasattr(tokenizer, "add_prefix_space"):  # byte-level ones ask for it, given words
        tokenizer = AutoTokenizer.from_pretrained(name, add_prefix_space=True)
    return model, tokenizer


def _label_names() -> dict[str, Any]:
    return {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: number for number, label in enumerate(LABELS)},
    }
