"""A sheet of text queries with the images that were found, and a plot of compared encoders."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image, ImageDraw, ImageFont, ImageOps

from cir.core import files
from cir.images.shards import ImageShards
from cir.text_search.data.queries import TextQuery
from cir.text_search.scoring.scoring import Measured

_SIDE, _GAP, _TEXT, _CAPTION, _HEADER, _LINE = 72, 10, 190, 16, 22, 14
_ANSWERS, _LETTERS, _LINES = 8, 27, 4
_INK, _FAINT, _BEST, _PARTLY, _WRONG = "#1f2328", "#6e7781", "#1a7f37", "#bf8700", "#b3261e"


@dataclass(frozen=True)
class Found:
    """What a row shows: a query's text and kind, the first answers, their grades, the best grade.

    The best grade is the highest that any image has for the query.
    """

    text: str
    kind: str
    answers: Sequence[Image.Image]
    grades: Sequence[int]
    best: int


def choose(kinds: Sequence[str], count: int) -> list[int]:
    """Up to `count` queries of each kind, by position, from all over the list, kind by kind."""
    chosen = []
    for kind in dict.fromkeys(kinds):
        of_kind = [place for place, own in enumerate(kinds) if own == kind]
        places = np.linspace(0, len(of_kind) - 1, min(count, len(of_kind))).round().astype(int)
        chosen += [of_kind[place] for place in places]
    return chosen


def rows_of(
    measured: Measured, queries: Sequence[TextQuery], images: ImageShards, chosen: Sequence[int]
) -> list[Found]:
    """The rows of these queries, by position; `images` are those that were ranked."""
    rows = []
    for place in chosen:
        query = queries[place]
        ids = [images.ids[image] for image in measured.ranking.top_indices[place][:_ANSWERS]]
        rows.append(
            Found(
                query.text,
                query.kind,
                [images.image(name) for name in ids],
                [query.grades.get(name, 0) for name in ids],
                max(query.grades.values()),
            )
        )
    return rows


def sheet(rows: Sequence[Found]) -> Image.Image:
    """One row per query, best answer first, with the grade under each image.

    Images of the query's best grade are framed in green, those of a lower one in amber, those
    that are no answer in red.
    """
    answers = max((len(row.answers) for row in rows), default=0)
    step = _SIDE + _CAPTION + _GAP
    width = 2 * _GAP + _TEXT + answers * (_SIDE + _GAP)
    picture = Image.new("RGB", (width, _HEADER + _GAP + max(1, len(rows)) * step), "white")
    draw, font = ImageDraw.Draw(picture), _font()
    draw.text((_GAP, 5), "query" if rows else "no queries", fill=_FAINT, font=font)
    for place in range(answers):
        draw.text((_left(place), 5), str(place + 1), fill=_FAINT, font=font)
    for number, row in enumerate(rows):
        top = _HEADER + number * step
        lines = textwrap.wrap(row.text, _LETTERS, max_lines=_LINES, placeholder=" …")
        for line, words in enumerate(lines):
            draw.text((_GAP, top + line * _LINE), words, fill=_INK, font=font)
        draw.text((_GAP, top + len(lines) * _LINE + 3), row.kind, fill=_FAINT, font=font)
        for place, (answer, grade) in enumerate(zip(row.answers, row.grades, strict=True)):
            _draw(picture, draw, (_left(place), top), answer, grade, row.best)
    return picture


def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has the letters of many languages."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 11)


def _left(place: int) -> int:
    return 2 * _GAP + _TEXT + place * (_SIDE + _GAP)


def _draw(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    image: Image.Image,
    grade: int,
    best: int,
) -> None:
    left, top = corner
    colour = _BEST if grade == best else _PARTLY if grade else _WRONG
    picture.paste(ImageOps.pad(image, (_SIDE, _SIDE), color="#eaeef2"), corner)
    box = (left - 3, top - 3, left + _SIDE + 2, top + _SIDE + 2)
    draw.rectangle(box, outline=colour, width=3)
    label = f"grade {grade} of {best}" if grade else "no answer"
    draw.text((left, top + _SIDE + 4), label, fill=colour, font=_font())


def save_speed_plot(points: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Save a PNG with a point for each name: (images per second, nDCG@10), the first by ratios."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, (rate, ndcg) in points.items():
        axes.plot([rate], [ndcg], "o", color="#4c78a8")
        axes.annotate(name, (rate, ndcg), (5, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="images per second in the encoder", ylabel="nDCG@10", xscale="log")
    rates = [rate for rate, _ in points.values()]
    axes.set(xlim=(min(rates) / 2, 3 * max(rates)), ylim=(0, 1.05))  # room for the names
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    with files.whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=100, metadata={"Software": None})
