"""The section on search by words: its words, and what its template fills in."""

from collections.abc import Sequence

from markupsafe import Markup

from cir.report import wording
from cir.report.figures import dot_plot
from cir.report.results import TextResults
from cir.text_search.scoring.results import AS_WRITTEN, EncodersMetrics, Result

COSINE = "cosine"


def section(results: TextResults) -> dict:
    """What the template text_search.html shows."""
    rows = results.search.results
    last = rows[-1]
    return {
        "protocol": protocol(last),
        "rows": [{"result": row, "read": read(row.protocol.text)} for row in rows],
        "kinds": _kinds(rows),
        "plots": [
            _plot("systems", [(r.what, r.ndcg_at_10, r.ndcg_interval) for r in rows]),
            _plot(
                f"kinds of query, {last.what}",
                [(k.kind, k.ndcg_at_10, k.ndcg_interval) for k in last.by_kind],
            ),
        ],
        "last": last.what,
        "sheet": results.sheet,
        "encoders": None if results.encoders is None else _encoders(results.encoders),
        "fingerprints": results.search.fingerprints,
    }


def protocol(result: Result) -> str:
    """What was ranked against what, and what counts, in a few sentences."""
    said = result.protocol
    queries, images = wording.count(result.queries), wording.count(result.gallery_size)
    return (
        f"{queries} queries were ranked by {said.ranking} against one gallery of {images} images, "
        f"{said.gallery}. nDCG takes the answers' grades (gain: {said.gain}); for all else an "
        f"image of grade {said.least_grade} or more is relevant. Ties count {said.ties}."
    )


def read(text: str) -> str:
    """What an encoder read of a query, in words."""
    if text == AS_WRITTEN:
        return "the query as it is written"
    return f"the query within “{text}”"


def _kinds(rows: Sequence[Result]) -> list[dict]:
    """A row for each kind of query: nDCG@10 of every system, and what the last one gained."""
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
    """The table of encoders, whose columns may lack a GPU's memory."""
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


def _plot(of: str, rows: Sequence[tuple[str, float, tuple[float, float]]]) -> Markup:
    label = f"nDCG@10 of the {of}: " + ", ".join(f"{what} {share:.1%}" for what, share, _ in rows)
    points = {what: (share, *bounds) for what, share, bounds in rows}
    return Markup(dot_plot(points, "nDCG@10, 95% interval", "", label))
