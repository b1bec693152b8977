"""Build the retriever of this folder when it is first needed."""

import os
from functools import lru_cache
from pathlib import Path

# The libraries read these when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from cir.retrieval.retriever import Retriever
from cir.retrieval.submission.weights_file import assemble


@lru_cache(maxsize=1)
def load() -> Retriever:
    """Return the retriever whose weights and settings lie beside this file."""
    return assemble(Path(__file__).resolve().parent)
