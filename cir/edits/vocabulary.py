"""A tokenizer that knows the words around the objects and no object.

A tagger trained from scratch on a thousand nouns learns them by heart, whatever pieces they are
cut into. This vocabulary holds the words that edit sentences are built of; any other word is one
[UNK], so that a noun is told by its place in the sentence alone and a new one reads as an old one.
"""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from cir.edits.clauses import Clauses
from cir.edits.expansion import COLOURS, SHADES
from cir.edits.reading.templates import Template, split_words
from cir.edits.words import PLACE, EditWords

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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
