"""A small drawn split with text queries, and a tiny random BLIP, for the tests of text search."""

import numpy as np
import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    BlipProcessor,
)

from cir.datasets.scenes import draw_many
from cir.images import shards
from cir.text_search.data.queries import TextQuery, write_queries

NAMES = ["red mug", "blue car", "green fish", "yellow hat", "blue mug", "red car"]
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a and of photo red blue green yellow mug car fish hat"
FULL, PART = 3, 1


def write_text_split(folder, images=30, queries=12, seed=3):
    """Queries for an object and for a pair, in turn; one of a pair alone is worth a lower grade."""
    rng = np.random.default_rng(seed)
    shown = {f"i{n:03d}": [str(x) for x in rng.permutation(NAMES)[:2]] for n in range(images)}
    made = []
    for number in range(queries):
        first, second = shown[f"i{number:03d}"]
        if number % 2:
            grades = {name: FULL for name, own in shown.items() if first in own}
            made.append(TextQuery(f"q{number}", first, "one object", grades))
            continue
        fits = {name: len({first, second} & set(own)) for name, own in shown.items()}
        grades = {name: FULL if fit == 2 else PART for name, fit in fits.items() if fit}
        text = f"a {first} and a {second}"
        made.append(TextQuery(f"q{number}", text, "Pair of objects", grades))
    shards.write(folder, draw_many(shown, 64, seed), [], {"source": "test"}, 20)
    write_queries(folder, made)
    return made


def tiny_blip(extra_words=2, seed=0):
    """A BlipForImageTextRetrieval of random weights and its processor; vectors of length 12.

    The model knows `extra_words` beyond those of its tokenizer, as the published ones know two.
    """
    words = {word: number for number, word in enumerate(WORDS.split())}
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    tower["num_hidden_layers"] = 2
    text = {**tower, "vocab_size": len(words) + extra_words, "encoder_hidden_size": 16}
    text |= {"max_position_embeddings": 16, "pad_token_id": 0, "sep_token_id": 3}
    text |= {"bos_token_id": 2, "eos_token_id": 3}
    vision = {**tower, "image_size": 32, "patch_size": 16}
    torch.manual_seed(seed)
    config = BlipConfig(
        text_config=text, vision_config=vision, projection_dim=12, image_text_hidden_size=12
    )
    model = BlipForImageTextRetrieval(config).eval()
    for weights in model.parameters():  # as initialised, all texts are nearly one
        weights.data += 0.2 * torch.randn_like(weights)
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    return model, BlipProcessor(images, BertTokenizer(vocab=words))


def save_blip(folder, **options):
    """Write a tiny BLIP as its publishers do."""
    model, processor = tiny_blip(**options)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
