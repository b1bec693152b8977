"""A world of five objects in which every vector, rank and score can be worked out by hand.

An image is the set of objects that it shows; its feature has a 1 for each of them, and a name's
feature is the same for one object. The right query vector is then exactly the target's.
"""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import nn

from cir.core.records import Edit
from cir.edits.reading.word_splitter import split_words

OBJECTS = "abcde"


class SetEncoder(nn.Module):
    dim, device = len(OBJECTS), torch.device("cpu")
    image_size = 200, 300  # as large as a photograph, so that few images are encoded at once

    def fingerprint(self):
        return "sets"

    def preprocess(self, image):
        return np.asarray(image).transpose(2, 0, 1)

    def encode_images(self, pixels):
        return (pixels[:, 0, 0] > 0).float()

    def encode_names(self, names):
        return torch.tensor([[float(name == o) for o in OBJECTS] for name in names]).reshape(-1, 5)


class LiteralTagger:
    """Reads "add x" and "remove x"; of anything else but silence it understands "add d"."""

    def tag(self, texts):
        edits = []
        for text in texts:
            if not text.strip():
                edits.append(Edit(text))
                continue
            verb, name, *_ = split_words(text)
            add, remove = {"add": ((name,), ()), "remove": ((), (name,))}.get(verb, (("d",), ()))
            edits.append(Edit(text, add, remove))
        return edits


def png(objects):
    shown = np.array([255 * (o in objects) for o in OBJECTS], np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.repeat(shown[None, :, None], 3, axis=2)).save(buffer, "PNG")
    return buffer.getvalue()
