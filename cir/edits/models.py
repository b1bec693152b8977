"""Token classifiers to train: from scratch, or from a pretrained encoder."""

from collections.abc import Iterable, Sequence
from typing import Any

from safetensors import SafetensorError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cir.core.errors import UserError
from cir.edits.clauses import Clauses
from cir.edits.expansion import COLOURS, SHADES
from cir.edits.params import FromScratch
from cir.edits.reading.templates import LABELS, Template, split_words
from cir.edits.words import PLACE, EditWords

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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


def context_words(
    templates: Sequence[Template], names: Sequence[str], words: EditWords, clauses: Clauses
) -> set[str]:
    """The words of the templates that are no nouns, and those of `words` and `clauses`.

    Left out are the words of object names and the places of the templates ("on the sofa"): as
    nouns they might be objects of other sentences, and are to be read like any other noun.
    """
    nouns = {word for name in names for word in split_words(name.lower())}
    found: set[str] = set()
    for template in templates:
        nouns |= {place.lower() for _, place in PLACE.findall(template.template)}
        found |= {word.lower() for piece in template.pieces for word in split_words(piece)}
    return (found - nouns) | words.all_words() | clauses.all_words() | {*COLOURS, *SHADES}


def context_tokenizer(words: Iterable[str], longest: int) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer with these words (of `split_words`) as its pieces.

    Every word is one piece, or [UNK]; `longest` is the model's limit in pieces. The same words
    give the same tokenizer.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=False)
    pieces = [*_SPECIAL, *sorted({normalizer.normalize_str(word) for word in words})]
    ids = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(piece, ids[piece]) for piece in ("[SEP]", "[CLS]")]
    backend.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=longest,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
