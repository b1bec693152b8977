"""Measure what one round of relevance feedback finds: python -m tools.feedback STORE --model DIR

The answers are the images that have a tag. The queries are the tags as words, and one image of each
tag. A person is simulated who looks at the first ten images and marks the right ones as wanted and
the others as unwanted. The judged images are taken out, and the next ten are counted, with feedback
and without: without, they are the images that the query ranks next. Recall@10 is the share of the
answers left that they hold, of ten at most. `--out metrics/feedback.json --gallery NAME` also keeps
the figures, in place of those that the file has of a gallery of this name.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cir.app import search_model
from cir.app.feedback import rocchio
from cir.app.settings import Settings
from cir.app.stores import open_store
from cir.core import files

_SHOWN = 10
_LEAST_ANSWERS = 15  # of a tag, so that some are left after ten
_PROTOCOL = {
    "feedback": "one round: the first 10 images, judged by their tags",
    "counted": "the next 10 images, of the answers left, 10 at most",
    "hit": "any image with the tag",
    "queries": f"the tags of {_LEAST_ANSWERS} images or more",
    "similarity": "cosine",
}


def measure(
    vectors: np.ndarray,
    queries: np.ndarray,
    answers: np.ndarray,
    weights: tuple[float, float],
    left_out: Sequence[int] | None = None,
) -> tuple[float, float]:
    """Return the mean recall@10 of the next ten images, without feedback and with it.

    Args:
        vectors: the gallery [N, D], of length one.
        queries: vectors [Q, D] of the queries.
        answers: bool [Q, N], the right images of each query.
        weights: those of wanted and of unwanted images, see `rocchio`.
        left_out: for each query, the image that is the query itself.
    """
    center = vectors.mean(axis=0)
    without, with_feedback = [], []
    for number, (query, right) in enumerate(zip(queries, answers, strict=True)):
        out = [] if left_out is None else [left_out[number]]
        ranked = _ranked(vectors, query, out)
        shown, later = ranked[:_SHOWN], ranked[_SHOWN : 2 * _SHOWN]
        wanted, unwanted = vectors[shown[right[shown]]], vectors[shown[~right[shown]]]
        moved = rocchio(query, wanted, unwanted, center, *weights)
        again = _ranked(vectors, moved, [*out, *shown])[:_SHOWN]
        left = min(_SHOWN, int(right.sum() - right[shown].sum()))
        if left:
            without.append(right[later].sum() / left)
            with_feedback.append(right[again].sum() / left)
    return float(np.mean(without)), float(np.mean(with_feedback))


def _ranked(vectors: np.ndarray, query: np.ndarray, left_out: Sequence[int]) -> np.ndarray:
    scores = vectors @ query
    scores[list(left_out)] = -np.inf
    return np.argsort(-scores, kind="stable")


def keep(path: Path, gallery: str, rows: Sequence[dict]) -> None:
    """Write the rows of a gallery into a JSON file, beside those of other galleries."""
    known = files.read_json(path) if path.exists() else []
    others = [row for row in known if row["gallery"] != gallery]
    files.write_json(path, [*others, *({"gallery": gallery, **row} for row in rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of a store as rows of a Markdown table, and keep them where asked."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m tools.feedback", description=__doc__)
    parser.add_argument("store", help="a store of tagged images, as cir index fills it")
    parser.add_argument("--model", type=Path, required=True, help="the model of the store")
    parser.add_argument("--wanted", type=float, default=defaults.wanted_weight)
    parser.add_argument("--unwanted", type=float, default=defaults.unwanted_weight)
    parser.add_argument("--out", type=Path, help="a JSON file that keeps the figures")
    parser.add_argument("--gallery", help="the name of the gallery in that file")
    options = parser.parse_args(arguments)
    if (options.out is None) is not (options.gallery is None):
        parser.error("--out and --gallery go together")
    model = search_model.load(options.model)
    with open_store(options.store, None) as store:
        images = list(store.images())
        found = store.vectors([image.id for image in images])
    vectors = np.stack([found[image.id] for image in images])
    of_tags = Counter(tag for image in images for tag in image.tags)
    tags = sorted(tag for tag, count in of_tags.items() if count >= _LEAST_ANSWERS)
    if not tags:
        parser.error(f"no tag is that of {_LEAST_ANSWERS} images or more")
    answers = np.array([[tag in image.tags for image in images] for tag in tags])
    weights = options.wanted, options.unwanted
    rng = np.random.default_rng(0)
    chosen = [int(rng.choice(np.flatnonzero(right))) for right in answers]
    others = answers.copy()
    others[np.arange(len(chosen)), chosen] = False
    rows = {
        "words": measure(vectors, model.encode_texts(tags), answers, weights),
        "an image": measure(vectors, vectors[chosen], others, weights, chosen),
    }
    print("| images | queries | recall@10 without feedback | with feedback |\n|---|---|---|---|")
    kept = []
    for kind, (without, with_feedback) in rows.items():
        print(f"| {len(images):,} | {len(tags)} by {kind} | {without:.1%} | {with_feedback:.1%} |")
        figures = {"recall@10": without, "recall@10 with feedback": with_feedback}
        counts = {"images": len(images), "queries": len(tags), "query": kind}
        used = {"wanted": weights[0], "unwanted": weights[1], "model": model.fingerprint()}
        kept.append({**figures, **counts, **used, "protocol": _PROTOCOL})
    if options.out:
        keep(options.out, options.gallery, kept)


if __name__ == "__main__":
    main()
