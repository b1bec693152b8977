"""A BERT of three narrow layers with random weights, as transformers saves one."""

import string

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = ["make", "the", "red", "mug", "blue", "hat", "a", "is", "longer", "no", "sleeves"]


def write(folder):
    """Write model and tokenizer into an existing folder."""
    vocabulary = write_vocabulary(folder)
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=30,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def write_vocabulary(folder):
    """Write vocab.txt into an existing folder, and return its pieces."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *string.punctuation]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return vocabulary
