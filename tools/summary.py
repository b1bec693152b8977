"""The pipeline's main figures, in a few lines: python -m tools.summary"""

from pathlib import Path
from typing import Any

from cir.files import read_json

METRICS = Path("metrics")


def lines(tagger: dict[str, Any], retrieval: dict[str, Any]) -> list[str]:
    """The figures of metrics/tagger.json and metrics/retrieval.json that matter most."""
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
    return told


def main() -> None:
    print()
    print(
        *lines(read_json(METRICS / "tagger.json"), read_json(METRICS / "retrieval.json")), sep="\n"
    )
    print("all figures: metrics/; queries that went right and wrong: metrics/pictures/")


if __name__ == "__main__":
    main()
