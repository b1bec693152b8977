"""Print the pipeline's main figures in a few lines: python -m tools.summary [PART ...]"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cir.core.files import read_json

METRICS = Path("metrics")


def tagger(metrics: dict[str, Any]) -> list[str]:
    """Word the headline of metrics/tagger.json."""
    (unseen,) = [row for row in metrics["splits"] if row["split"] == "both_unseen"]
    return [
        f"tagger      {unseen['exact_edit']:.1%} exact edits, "
        f"{unseen['count']:,} sentences of templates and objects never trained on"
    ]


def retriever(metrics: dict[str, Any]) -> list[str]:
    """Word the headlines of metrics/retrieval.json."""
    (low, high), result = metrics["interval95"], metrics["results"][0]
    told = [
        f"retriever   {metrics['accuracy']:.1%} accuracy "
        f"(95% interval {low:.1%} to {high:.1%}), "
        f"{result['queries']:,} queries in a gallery of {result['gallery_size']:,} images"
    ]
    for row in metrics["results"]:
        if row["what"] == "novel names":
            told.append(
                f"            {row['accuracy']:.1%} on the {row['queries']:,} queries "
                "with names never trained on"
            )
    told.append(
        f"            recall@5 {metrics['recall@5']:.1%}, recall@10 "
        f"{metrics['recall@10']:.1%}, MRR {metrics['mrr']:.3f}"
    )
    return told


def classes(metrics: dict[str, Any]) -> list[str]:
    """Word the headline of metrics/class_retrieval.json."""
    plain = metrics["results"][0]
    return [
        f"classes     {metrics['class_recall@1']:.1%} recall@1, mAP {metrics['class_map']:.1%}, "
        f"{plain['queries']:,} queries of classes {plain['protocol']['classes']}"
    ]


def words(metrics: dict[str, Any]) -> list[str]:
    """Word the headline of metrics/text_search.json."""
    after = metrics["results"][-1]
    return [
        f"words       nDCG@10 {metrics['text_ndcg@10']:.3f}, {after['queries']:,} sentences, "
        f"gallery of {after['gallery_size']:,} images; MRR {metrics['text_mrr']:.3f}"
    ]


PARTS: dict[str, tuple[str, Callable[[dict[str, Any]], list[str]]]] = {
    "tagger": ("tagger", tagger),
    "retriever": ("retrieval", retriever),
    "classes": ("class_retrieval", classes),
    "words": ("text_search", words),
}


def lines(parts: Sequence[str] = ()) -> list[str]:
    """Word the headlines of these parts, or of all parts.

    Raises UserError if a metrics file does not exist.
    """
    told = []
    for part in parts or PARTS:
        name, worded = PARTS[part]
        told += worded(read_json(METRICS / f"{name}.json"))
    return told


def main() -> None:
    print()
    print(*lines(sys.argv[1:]), sep="\n")
    print("all figures: metrics/; queries that went right and wrong: metrics/pictures/")


if __name__ == "__main__":
    main()
