"""A DistilBERT of one narrow layer with random weights, as the hub has one."""

import torch
from transformers import DistilBertConfig, DistilBertModel, DistilBertTokenizerFast

from tests.helpers import tiny_bert


def write(folder):
    """Write model and tokenizer into an existing folder, and return it."""
    tiny_bert.write_vocabulary(folder)
    torch.manual_seed(2)
    size = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    DistilBertModel(DistilBertConfig(vocab_size=400, **size)).save_pretrained(folder)
    DistilBertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
