"""The pipeline's main figures, in a few lines: python -m tools.summary"""

from pathlib import Path
from typing import Any

from cir.core.files import read_json

METRICS = Path("metrics")


def lines(
    tagger: dict[str, Any],
    retrieval: dict[str, Any],
    classes: dict[str, Any],
    words: dict[str, Any],
) -> list[str]:
    """What matters most of metrics/{tagger,retrieval,class_retrieval,text_search}.json."""
    (unseen,) = [row for row in tagger["splits"] if row["split"] == "both_unseen"]
    (low, high), result = retrieval["interval95"], retrieval["results"][0]
    told = [
        f"tagger      {unseen['exact_edit']:.1%} exact edits, "
        f"{unseen['count']:,} sentences of templates and objects never trained on",
        f"retriever   {retrieval['accuracy']:.1%} accuracy "
        f"(95% interval {low:.1%} to {high:.1%}), "
        f"{result['queries']:,} queries in a gallery of {result['gallery_size']:,} images",
    ]
    for row in retrieval["results"]:
        if row["what"] == "novel names":
            told.append(
                f"            {row['accuracy']:.1%} on the {row['queries']:,} queries "
                "with names never trained on"
            )
    told.append(
        f"            recall@5 {retrieval['recall@5']:.1%}, recall@10 "
        f"{retrieval['recall@10']:.1%}, MRR {retrieval['mrr']:.3f}"
    )
    plain = classes["results"][0]
    told.append(
        f"classes     {classes['class_recall@1']:.1%} recall@1, mAP {classes['class_map']:.1%}, "
        f"{plain['queries']:,} queries of classes {plain['protocol']['classes']}"
    )
    after = words["results"][-1]
    told.append(
        f"words       nDCG@10 {words['text_ndcg@10']:.3f}, {after['queries']:,} sentences, "
        f"gallery of {after['gallery_size']:,} images; MRR {words['text_mrr']:.3f}"
    )
    return told


def main() -> None:
    names = ("tagger", "retrieval", "class_retrieval", "text_search")
    print()
    print(*lines(*(read_json(METRICS / f"{name}.json") for name in names)), sep="\n")
    print("all figures: metrics/; queries that went right and wrong: metrics/pictures/")


if __name__ == "__main__":
    main()
