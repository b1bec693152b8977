"""Prepare the section on class-level retrieval."""

from collections.abc import Mapping

from markupsafe import Markup

from cir.classes.scoring.results import ClassProtocol, Result
from cir.report import wording
from cir.report.figures import dot_plot
from cir.report.results import ClassResults

WORST = 10  # the number of classes in the table of the hardest
SEEN = {
    "never trained on": "Training saw no image of these classes.",
    "trained on": "Training saw other images of these classes.",
    "some trained on": "Training saw other images of some of these classes.",
}
BASELINES = {
    "tower before training": "the same tower, before training",
    "colour histograms": "colour histograms, without training",
}
QUERIES = {"image, not in the gallery": "an image that is not in the gallery"}
VECTORS = {"flip-averaged": "means of the vectors of an image and of its mirror image"}
GRAPHS = {
    "joint query-gallery graph": "joint query-gallery graph: answers depend on the other queries",
    "gallery-only graph": "gallery-only graph: answers do not depend on the other queries",
}


def section(results: ClassResults) -> dict:
    """Return the values that the template classes.html shows.

    The plots leave the baselines out: they are so far off that the intervals could not be seen.
    """
    rows = results.retrieval.results
    drawn = [row for row in rows if row.protocol.vectors not in BASELINES]
    return {
        "protocol": protocol(rows[0]),
        "rows": [
            {"result": row, "kind": kind(row.protocol), "done": done(row.protocol)} for row in rows
        ],
        "plots": [
            _plot("Recall@1", {r.what: (r.recall_at_1, *r.recall_at_1_interval) for r in drawn}),
            _plot("mAP", {r.what: (r.map, *r.map_interval) for r in drawn}),
        ],
        "worst": results.retrieval.by_class[:WORST],
        "classes": len(results.retrieval.by_class),
        "training": results.training,
        "sheet": results.sheet,
        "fingerprints": results.retrieval.fingerprints,
    }


def kind(protocol: ClassProtocol) -> str:
    """Say whether a ranking is the plain one, a baseline or a refinement."""
    if protocol.vectors in BASELINES:
        return "baseline"
    plain = protocol.vectors == "embedder" and protocol.refinement == "none"
    return "the result" if plain else "refinement"


def done(protocol: ClassProtocol) -> str:
    """Describe a ranking by its vectors, its refinement and the graph of a re-ranking."""
    told = []
    if protocol.vectors != "embedder":
        told.append({**BASELINES, **VECTORS}[protocol.vectors])
    if protocol.refinement != "none":
        told.append(protocol.refinement)
    if protocol.graph is not None:
        told.append(GRAPHS[protocol.graph])
    return "; ".join(told) or "the embedder's vectors as they are"


def protocol(result: Result) -> str:
    """Describe in a few sentences what was ranked, against which gallery, and what a hit is."""
    said = result.protocol
    queries, images = wording.count(result.queries), wording.count(result.gallery_size)
    sentences = [
        f"{queries} queries, each {QUERIES.get(said.query, said.query)}, were ranked by "
        f"{said.similarity} against one gallery of {images} {said.gallery}.",
        f"A hit is {said.hit}; ties count {said.ties}.",
        SEEN[said.classes],
    ]
    if said.left_out is not None:
        sentences.append(f"Left out as unusable in the source: {said.left_out}.")
    return " ".join(sentences)


def _plot(figure: str, rows: Mapping[str, tuple[float, float, float]]) -> Markup:
    title = f"{figure} of the ways to rank, without the baselines"
    return dot_plot(title, rows, f"{figure}, 95% interval")
