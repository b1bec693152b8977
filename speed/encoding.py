"""Compare queries encoded in batches with queries encoded one by one, object by object."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from cir.composers import EditFeatures
from cir.edits.reading.tagger import Tagger
from cir.edits.reading.word_splitter import split_words
from cir.retrieval.retriever import Retriever
from speed.workload import Workload


def speed_up(retriever: Retriever, workload: Workload, repeats: int = 3) -> float:
    """Return how many times less processor time batches take, on all threads.

    Asserts that both ways give the same vectors.
    """
    _batched(retriever, workload, slice(0, 32))  # warm up
    fast = []
    for _ in range(repeats):
        started = time.process_time()
        together = _batched(retriever, workload, slice(None))
        fast.append(time.process_time() - started)
    started = time.process_time()
    apart = [alone(retriever, workload, row) for row in range(len(workload.texts))]
    slow = time.process_time() - started
    difference = np.abs(together - np.concatenate(apart)).max()
    assert difference < 1e-4, f"the two ways differ by {difference}"
    return slow / min(fast)


def tagging_share(tagger: Tagger, texts: Sequence[str], batch_size: int, repeats: int = 5) -> float:
    """Return the rate of reading edits as a share of the bare rate of the tagger's model.

    The bare model gets the same batches, already split, looked up and padded.
    """
    model, pieces = tagger._model, tagger._pieces
    words = sorted(map(split_words, texts), key=len)
    starts = range(0, len(words), batch_size)
    batches = [
        pieces.batch(pieces(words[start : start + batch_size]), tagger._room) for start in starts
    ]

    @torch.inference_mode()
    def bare() -> None:
        for ids, attention, _ in batches:
            model(input_ids=ids.to(model.device), attention_mask=attention.to(model.device))
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(work: Callable[[], object]) -> float:
        work()  # warm up
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    pairs = [
        (seconds(bare), seconds(lambda: tagger.tag(texts, batch_size))) for _ in range(repeats)
    ]
    return min(alone for alone, _ in pairs) / min(whole for _, whole in pairs)


def _batched(retriever: Retriever, workload: Workload, rows: slice) -> np.ndarray:
    retriever.tagger.tag(workload.texts[rows])
    return retriever.encode_edits(workload.images[rows], workload.edits[rows])


@torch.inference_mode()
def alone(retriever: Retriever, workload: Workload, row: int) -> np.ndarray:
    """Encode one query alone, each of its objects by a call: float32 [1, D], of length one."""
    encoder, edit = retriever.encoder, workload.edits[row]
    retriever.tagger.tag([workload.texts[row]])
    pixels = torch.from_numpy(encoder.preprocess(workload.images[row])[None].copy())
    image = encoder.encode_images(pixels)
    names = list(dict.fromkeys((*edit.add, *edit.remove)))
    features = [encoder.encode_names([name]) for name in names]
    objects = torch.cat(features) if features else encoder.encode_names([])
    text = retriever.model.encode_texts([edit])
    query = retriever.model.composer(image, EditFeatures.gather([edit], names, objects, text))
    return functional.normalize(query, dim=1).cpu().numpy()
