"""Create the token classifier to train: a small DistilBERT from scratch, or a pretrained encoder.

A tagger that starts from scratch memorises a thousand nouns, whatever pieces its tokenizer cuts
them into. Its vocabulary therefore has only the words around the objects, and some beginnings and
endings by which it reads all other words (`cir.edits.reading.pieces`). So the tagger finds a noun
by its place in the sentence, and new nouns look like known ones.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
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

from cir.core.errors import UserError, reason_of
from cir.core.hub import why_not_fetched
from cir.core.packaged import minilm_folder
from cir.edits.clauses import Clauses
from cir.edits.expansion import COLOURS, SHADES
from cir.edits.params import FromScratch
from cir.edits.reading.pieces import shape_pieces
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.templates import Template
from cir.edits.reading.word_splitter import LABELS
from cir.edits.words import PLACE, EditWords, words_of

PACKAGED_MINILM = "package:all-MiniLM-L6-v2"  # the weights of requirements-photos.txt
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def fresh_model(
    size: FromScratch, words: Iterable[str], seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Create a DistilBERT with random weights and a tokenizer that knows only `words`."""
    words = set(words)
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
        initializer_range=0.06,  # the usual 0.02 is for wider models; here learning starts slowly
        pad_token_id=tokenizer.pad_token_id,
        context_words=sorted(words),
        **_label_names(),
    )
    return DistilBertForTokenClassification(config), tokenizer


def pretrained_model(
    name: str,
    seed: int,
    layers: int | None = None,
    words: Iterable[str] = (),
    frozen: int = 0,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pretrained encoder and add a layer of labels.

    `name` is that of the hub, a folder, or PACKAGED_MINILM; `layers` keeps only the first layers.
    The tagger's `Spelling` knows `words`. Training leaves the first `frozen` layers, and all
    before them, as they are.

    Raises UserError if `name` does not exist, if the hub cannot be reached, if the weights do not
    fit an architecture that transformers has as a token classifier, if a tagger cannot read
    sentences with it, such as GPT-2 and XLNet, or if `frozen` layers cannot stay as they are.
    """
    set_seed(seed)  # the new layer's weights
    with minilm_folder() if name == PACKAGED_MINILM else nullcontext(name) as source:
        model, tokenizer = _pretrained(name, source, layers)
    _freeze(model, frozen)
    model.config.context_words = sorted(words)
    return model, tokenizer


def _pretrained(
    name: str, source: Path | str, layers: int | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the encoder `name` from the folder or the hub's name `source`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model, report = AutoModelForTokenClassification.from_pretrained(
            source,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **({} if layers is None else {"num_hidden_layers": layers}),
            **_label_names(),
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"tagger.checkpoint: transformers finds no encoder for token classification in the "
            f"folder or on the hub under the name {name!r}: {why_not_fetched(error)}"
        ) from None
    inside = f"{model.base_model_prefix}."
    wrong = [key for key in report["missing_keys"] if key.startswith(inside)]
    wrong += [key for key, *_ in report["mismatched_keys"] if key.startswith(inside)]
    if wrong:
        raise UserError(
            f"tagger.checkpoint: the weights in {name!r} do not fit the architecture in its "
            f"config.json ({model.config.model_type}): {len(wrong)} are missing or have another "
            f"size, for example {wrong[0]}."
        )
    if not tokenizer.is_fast:
        raise UserError(f"tagger.checkpoint: {name!r} has no fast tokenizer.")
    if hasattr(tokenizer, "add_prefix_space"):  # byte-level tokenizers need it for split words
        tokenizer = AutoTokenizer.from_pretrained(source, add_prefix_space=True)
    try:
        Tagger(model, tokenizer).tag(["Add a hat.", "Take out the cat, and add a red hat."])
    except Exception as error:  # each architecture and tokenizer fails in a way of its own
        raise UserError(
            f"tagger.checkpoint: a tagger cannot read sentences with {name!r} "
            f"({model.config.model_type}): it needs an encoder with a padding token and a limit of "
            f"positions, such as DistilBERT, BERT or RoBERTa; the trial ended with: "
            f"{reason_of(error)}"
        ) from None
    # The sentences vary without end, so that there is nothing to learn by heart: without dropout
    # the tagger reads strangers' sentences better, and a step takes less time.
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model, tokenizer


def _freeze(model: PreTrainedModel, layers: int) -> None:
    """Let training leave the table of words as it is, and the lowest layers with all before them.

    Half of a small encoder's weights stand for single words. They stay as they are, so that words
    that training never shows keep their place among the others, and training takes less time.
    """
    model.get_input_embeddings().weight.requires_grad_(False)
    if not layers:
        return
    encoder, depth = model.base_model, model.config.num_hidden_layers
    if layers >= depth:
        raise UserError(f"tagger.frozen must be less than the {depth} layers, got {layers}")
    lists = [part for part in encoder.modules() if isinstance(part, nn.ModuleList)]
    stack = next((part for part in lists if len(part) == depth), None)
    if stack is None:
        raise UserError(
            f"tagger.frozen: {model.config.model_type} has no list of {depth} layers of which some "
            f"could stay as they are; set it to 0"
        )
    last = list(stack[layers - 1].parameters())[-1]
    for weight in encoder.parameters():  # from the table of words upwards
        weight.requires_grad_(False)
        if weight is last:
            break


def _label_names() -> dict[str, Any]:
    return {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: number for number, label in enumerate(LABELS)},
    }


def context_words(
    templates: Sequence[Template], names: Sequence[str], words: EditWords, clauses: Clauses
) -> set[str]:
    """Collect the words of the templates, `words` and `clauses`, but not their nouns.

    Nouns of the templates are the words of object names and the places ("on the sofa"). They may
    be objects of other sentences, so the tagger must read them like any other noun. Of the clauses,
    only the object names of one word are left out, as other words of names are verbs there.
    """
    nouns = words_of(name.lower() for name in names)
    nouns |= {place.lower() for item in templates for _, place in PLACE.findall(item.template)}
    found = words_of(piece.lower() for item in templates for piece in item.pieces)
    of_clauses = clauses.all_words() - {name.lower() for name in names}
    return (found - nouns) | words.all_words() | of_clauses | {*COLOURS, *SHADES}


def context_tokenizer(words: Iterable[str], longest: int) -> PreTrainedTokenizerFast:
    """Create a lower-casing WordPiece tokenizer in which each word is one piece.

    `words` come from `split_words`; any other word becomes [UNK], which
    `cir.edits.reading.pieces.Pieces` replaces by pieces for the word's look. `longest` is the
    model's limit in pieces. The same words give the same tokenizer.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=False)
    pieces = [
        *_SPECIAL,
        *shape_pieces(),
        *sorted({normalizer.normalize_str(word) for word in words}),
    ]
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
