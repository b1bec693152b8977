"""Prepare the section on search by words."""

from collections.abc import Sequence

from cir.report import wording
from cir.report.figures import dot_plot
from cir.report.results import TextResults
from cir.text_search.scoring.results import AS_WRITTEN, EncodersMetrics, OfKind, Result

COSINE = "cosine"
NDCG = "nDCG@10, 95% interval"


def section(results: TextResults) -> dict:
    """Return the values that the template text_search.html shows."""
    rows = results.search.results
    last = rows[-1]
    return {
        "protocol": protocol(last),
        "rows": [{"result": row, "read": read(row.protocol.text)} for row in rows],
        "kinds": _kinds(rows),
        "plots": [
            dot_plot("nDCG@10 of the systems", {row.what: _ndcg(row) for row in rows}, NDCG),
            dot_plot(
                f"nDCG@10 of the kinds of query, {last.what}",
                {of.kind: _ndcg(of) for of in last.by_kind},
                NDCG,
            ),
        ],
        "last": last.what,
        "sheet": results.sheet,
        "encoders": None if results.encoders is None else _encoders(results.encoders),
        "fingerprints": results.search.fingerprints,
    }


def protocol(result: Result) -> str:
    """Describe in a few sentences what was ranked, against which gallery, and what is relevant."""
    said = result.protocol
    queries, images = wording.count(result.queries), wording.count(result.gallery_size)
    return (
        f"{queries} queries were ranked by {said.ranking} against one gallery of {images} images, "
        f"{said.gallery}. nDCG uses the grades of the answers (gain: {said.gain}); for the other "
        f"figures, an image of grade {said.least_grade} or more is relevant. "
        f"Ties count {said.ties}."
    )


def read(text: str) -> str:
    """Say which text an encoder read for a query."""
    if text == AS_WRITTEN:
        return "the query as it is written"
    return f"the query within “{text}”"


def _kinds(rows: Sequence[Result]) -> list[dict]:
    """Make a row for each kind of query: the figures of the last system and of the others."""
    systems = [{of.kind: of for of in row.by_kind} for row in rows]
    return [
        {
            "last": of,
            "others": [system.get(of.kind) for system in systems[:-1]],
            "queries": of.queries,
        }
        for of in rows[-1].by_kind
    ]


def _encoders(compared: EncodersMetrics) -> dict:
    """Return the table of compared encoders; `gpu` says whether any of them used a GPU."""
    first = compared.encoders[0]
    queries, images = wording.count(first.queries), wording.count(first.gallery_size)
    return {
        "rows": [
            {
                "encoder": one,
                "done": None if one.ranking == COSINE else one.ranking,
                "read": read(one.protocol.text),
                "size": "×".join(map(str, one.image_size)),
            }
            for one in compared.encoders
        ],
        "failures": compared.failures,
        "gpu": any(one.gpu_memory_mb is not None for one in compared.encoders),
        "against": f"{queries} queries and {images} images",
        "devices": ", ".join(dict.fromkeys(one.device for one in compared.encoders)),
    }


def _ndcg(row: Result | OfKind) -> tuple[float, float, float]:
    return (row.ndcg_at_10, *row.ndcg_interval)
