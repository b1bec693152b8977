"""Tiny towers with random weights, joined as those of encoder=photos are."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.nn.functional import normalize
from transformers import BertConfig

from cir.encoders import Encoder, conse

CLASSES, WIDTH, SIZE = 7, 12, 64
WORDS = ["[PAD]", "[UNK]", "a", "dog", "red", "boat", "on", "water"]


def tiny_conse() -> Encoder:
    """Return an encoder with random weights."""
    torch.manual_seed(0)
    transformer = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    config = conse.config_of("tf_efficientnet_lite0", CLASSES, SIZE, transformer)
    model = conse.ConSE(config)
    model.visual.head.describe(normalize(torch.randn(CLASSES, WIDTH), dim=1))
    _calibrate(model.visual.trunk.network)
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return Encoder(model.eval(), config, conse.SentenceTokenizer(words), "{}").eval()


def _calibrate(trunk: torch.nn.Module) -> None:
    """Give batch normalisation the statistics of random images; else random weights say nothing."""
    trunk.train()
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        trunk(torch.randn(8, 3, SIZE, SIZE))
        trunk.classifier.weight.mul_(10)
    trunk.eval()
