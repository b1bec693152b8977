"""Fill figures and queries into the templates, and put the style and the script inside."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cir.edits.results import Split
from cir.report import classes, text_search, wording
from cir.report.figures import dot_plot, line_plot
from cir.report.gallery import Gallery
from cir.report.results import ClassResults, Results, TextResults
from cir.training.results import ComposerFigures

_HERE = Path(__file__).parent
_MOST_ROWS = 60  # of a curve's table; a longer table is thinned out
_SHARES = ("accuracy", "recall", "exact", "f1", "precision")


@dataclass(frozen=True)
class Curve:
    """A training whose curve is drawn; `losses` and `scores` map columns of its table to names."""

    name: str
    title: str
    losses: dict[str, str]
    scores: dict[str, str]
    caption: str


CURVES = (
    Curve(
        "tagger",
        "The tagger",
        {"loss": "training", "eval_loss": "validation"},
        {"eval_exact_edit": "exact edits"},
        "The token classifier. Exact edits are those of validation sentences whose every word is "
        "labelled right.",
    ),
    Curve(
        "pretrain",
        "The encoder: naming objects",
        {"loss": "training"},
        {"score": "images named right"},
        "The encoder learns to tell which names an image shows; the score is that of held-out "
        "images of the training split.",
    ),
    Curve(
        "finetune",
        "The encoder: composing queries",
        {"loss": "all", "composition": "composition", "naming": "naming", "sets": "near-miss sets"},
        {"accuracy": "accuracy", "mrr": "MRR"},
        "The encoder learns to find the edited image; accuracy and mean reciprocal rank are those "
        "of the validation split. The step with the highest accuracy is kept.",
    ),
)
CLASS_CURVE = Curve(
    "class_embedder",
    "The class-level embedder",
    {"loss": "training"},
    {"map": "mAP", "recall_at_1": "recall@1"},
    "The embedder learns to bring images of one class together. Each image of the validation "
    "classes looks for the others of its class; the step with the highest mAP is kept.",
)


def render(
    results: Results,
    class_results: ClassResults | None,
    text_results: TextResults | None,
    gallery: Gallery,
    how_to_compare: str,
) -> str:
    """Return the page as HTML; equal arguments give equal text.

    If `class_results` or `text_results` is None, the page has no section on class-level retrieval
    or on search by words. `how_to_compare` replaces the table of experiments if there are none.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    helpers = (wording.percent, wording.interval, wording.count, wording.decimal, wording.kind)
    helpers += (wording.kind_in_words, wording.protocol, wording.absence)
    helpers += (wording.composer, wording.text_read, wording.rate, wording.slots)
    environment.filters.update({helper.__name__: helper for helper in helpers})
    environment.globals["zip"] = zip
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        retrieval=results.retrieval,
        splits=_splits(results),
        tagger=results.tagger,
        reliability=_reliability(results),
        disturbed_queries={row.what: row.accuracy for row in results.retrieval.robustness},
        split_names=wording.SPLITS,
        label_names=wording.LABELS,
        finetune=results.finetune,
        comparison=_comparison(results.comparison.composers),
        ablation=results.ablation.to_dict("records"),
        recall=_recall(results.curves["recall_at_k"]),
        groups=[_groups(results, "kind"), _groups(results, "objects")],
        classes=None if class_results is None else classes.section(class_results),
        text=None if text_results is None else text_search.section(text_results),
        curves=_curves(results, class_results),
        experiments=_experiments(results.experiments),
        how_to_compare=how_to_compare,
        gallery=gallery,
        kinds=sorted({answer.kind for answer in gallery.shown}),
        number_of={name: number for number, name in enumerate(gallery.images)},
    )


def _splits(results: Results) -> list[Split]:
    """Return the splits of the tagger's metrics, from the hardest to the easiest."""
    order = list(wording.SPLITS)
    return sorted(results.tagger.splits, key=lambda split: order.index(split.split))


def _reliability(results: Results) -> Markup:
    rows = results.tagger.reliability
    lines = {
        "the tagger": ([row.confidence for row in rows], [row.exact_edit for row in rows]),
        "a confidence that is always true": ([0.0, 1.0], [0.0, 1.0]),
    }
    figures = (f"{row.confidence:.0%}: {row.exact_edit:.0%} of {row.count:,}" for row in rows)
    label = f"Confidence and exact edits: {', '.join(figures)}"
    return line_plot(lines, "confidence", "exact edits", label, share=True)


def _recall(table: pd.DataFrame) -> dict:
    lines = {"the whole gallery": _line(table, "k", "recall")}
    if "recall_contest_like" in table:
        lines["targets and references only"] = _line(table, "k", "recall_contest_like")
    rows = [dict(row) for row in table.astype(object).to_dict("records")]
    label = "Recall at k: " + ", ".join(f"{row['k']}: {row['recall']:.1%}" for row in rows)
    plot = line_plot(lines, "k", "recall at k", label, share=True, logarithmic=True)
    return {"plot": plot, "rows": rows}


def _groups(results: Results, by: str) -> dict:
    """Return the accuracy by "kind" of edit or by number of "objects", with intervals."""
    groups = results.retrieval.by_kind if by == "kind" else results.retrieval.by_objects
    rows = []
    for group in groups:
        right = round(group.accuracy * group.queries)
        bounds = wording.wilson_interval(right, group.queries)
        name = wording.kind(group.kind) if by == "kind" else str(group.objects)
        rows.append({"group": group, "name": name, "right": right, "interval": bounds})
    title = f"Accuracy by {'kind of edit' if by == 'kind' else 'number of objects'}"
    up = "added, removed" if by == "kind" else "objects in the edit"
    points = {row["name"]: (row["group"].accuracy, *row["interval"]) for row in rows}
    plot = dot_plot(title, points, "accuracy, 95% interval", up) if rows else ""
    return {"by": by, "rows": rows, "plot": plot}


def _comparison(rows: Sequence[ComposerFigures]) -> dict:
    """Return the compared composers, and a plot of their accuracies with intervals."""
    points = {wording.composer(r.composer): (r.accuracy, *r.interval95) for r in rows}
    title, across = "Accuracy of the composers", "accuracy, 95% interval"
    return {"rows": rows, "plot": dot_plot(title, points, across, "composer") if points else ""}


def _curves(results: Results, class_results: ClassResults | None) -> list[dict]:
    """Return the plots and the table of each training, in the order of the page."""
    kept = {"finetune": results.finetune.best_step}
    shown = [_curve(one, results.curves[one.name], kept.get(one.name)) for one in CURVES]
    if class_results is not None:
        best = class_results.training.best_step
        shown.append(_curve(CLASS_CURVE, class_results.curve, best))
    return shown


def _curve(curve: Curve, table: pd.DataFrame, kept: int | None) -> dict:
    """Return the two plots of a training, and its table; the plot of scores marks step `kept`."""
    mark = None if kept is None else (kept, "kept")
    plots = []
    for columns, up, share in ((curve.losses, "loss", False), (curve.scores, "score", True)):
        lines = {title: _line(table, "step", c) for c, title in columns.items() if c in table}
        lines = {title: line for title, line in lines.items() if line[0]}
        if lines:
            ends = ", ".join(f"{title} {ys[-1]:.3g}" for title, (_, ys) in lines.items())
            label = f"{curve.title}: {up} by step of training, at the end {ends}"
            name = next(iter(lines)) if len(lines) == 1 and share else up
            here = mark if share else None
            plots.append(line_plot(lines, "step", name, label, share=share, mark=here))
    steps = -(-len(table) // _MOST_ROWS)
    thinned = table.iloc[::-1].iloc[:: max(1, steps)].iloc[::-1]
    return {"curve": curve, "plots": plots, "columns": list(table), "rows": _cells(thinned)}


def _line(table: pd.DataFrame, x: str, y: str) -> tuple[list[float], list[float]]:
    """Return the x and y values of a column, without the rows in which it is empty."""
    if x not in table or y not in table:
        return [], []
    points = table[[x, y]].dropna()
    return points[x].astype(float).tolist(), points[y].astype(float).tolist()


def _experiments(table: pd.DataFrame | None) -> dict | None:
    """Return the cells of the table: shares in percent, the best share of a column marked."""
    if table is None:
        return None
    shares = [column for column in table if _is_share(column, table[column])]
    best = {column: table[column].max() for column in shares if table[column].nunique() > 1}
    rows = []
    for _, row in table.iterrows():
        cells = []
        for column, value in row.items():
            text = wording.percent(value) if column in shares and pd.notna(value) else _cell(value)
            winner = column in best and pd.notna(value) and value == best[column]
            cells.append({"text": text, "number": _is_number(value), "best": winner})
        rows.append(cells)
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    return {"columns": list(zip(table, numeric, strict=True)), "rows": rows}


def _is_share(name: str, column: pd.Series) -> bool:
    called_so = any(word in name.lower() for word in _SHARES)
    return (
        called_so and pd.api.types.is_numeric_dtype(column) and column.dropna().between(0, 1).all()
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [[_cell(value) for value in row] for row in table.astype(object).to_numpy()]


def _cell(value: object) -> str:
    if pd.isna(value):
        return wording.NONE
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
