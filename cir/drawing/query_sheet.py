"""Results to look at: sheets of queries with their answers, and small plots."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps

from cir.core import files
from cir.edits.reading.templates import word_spans

MOST_BYTES = 300_000  # the sheets are committed

_SIDE, _GAP, _TEXT_WIDTH, _HEADER, _LINE = 120, 12, 330, 24, 22
_INK, _FAINT, _RIGHT, _WRONG = "#1f2328", "#6e7781", "#1a7f37", "#b3261e"
_COLOURS = {"pos": _RIGHT, "neg": _WRONG}


@dataclass(frozen=True)
class QueryRow:
    """What one row of a sheet shows.

    `labels` has the tagger's label of every word of `text` ("pos", "neg" or "other"). `answers`
    are the first images found, best first; `right` is the position of the target among them, or
    None. `target` and `target_rank` are shown in a last column where the sheet has one.
    """

    reference: Image.Image
    text: str
    labels: Sequence[str]
    answers: Sequence[Image.Image]
    right: int | None
    target: Image.Image
    target_rank: int


def sheet(rows: Sequence[QueryRow], with_target: bool = False) -> Image.Image:
    """One row per query: the reference, the sentence in colours, the answers, the right one framed.

    Added words are green and underlined, removed ones red and struck through. `with_target` adds
    a column with the target and its rank, for queries that missed it. Without rows, the picture
    says that there are none.
    """
    answers = max((len(row.answers) for row in rows), default=0)
    columns = 1 + answers + with_target
    width = columns * (_SIDE + _GAP) + _TEXT_WIDTH + 2 * _GAP
    height = _HEADER + _GAP + max(1, len(rows)) * (_SIDE + _GAP)
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    if not rows:
        draw.text((_GAP, _GAP), "none", fill=_FAINT, font=_font())
    else:
        _draw_header(draw, answers, with_target)
    for number, row in enumerate(rows):
        _draw_row(picture, draw, row, _HEADER + _GAP + number * (_SIDE + _GAP), with_target)
    return picture


def save_sheet(picture: Image.Image, path: Path) -> None:
    """Save as JPEG (or PNG by the file's name) of at most MOST_BYTES, as good as that allows."""
    for encoded in _encodings(picture, path.suffix):
        if len(encoded) <= MOST_BYTES:
            break
    with files.whole_file(path) as unfinished:
        unfinished.write_bytes(encoded)


def save_line_plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str, path: Path
) -> None:
    """Save a PNG with one line for each name, given as (x values, y values)."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for name, (across, up) in lines.items():
        axes.plot(across, up, marker="o", markersize=3, label=name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save_figure(figure, path)


def save_bar_plot(bars: Mapping[str, float], y: str, path: Path) -> None:
    """Save a PNG with one bar for each name, the value written over it; values from 0 to 1."""
    figure = Figure(figsize=(max(3.2, 0.8 * len(bars) + 1), 3.2), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.bar(list(bars), list(bars.values()), color="#4c78a8")
    axes.bar_label(drawn, [f"{value:.1%}" for value in bars.values()], fontsize=8, padding=2)
    axes.set(ylabel=y, ylim=(0, 1.1))
    _save_figure(figure, path)


def save_interval_plot(
    rows: Mapping[str, tuple[float, float, float]], across: str, path: Path
) -> None:
    """Save a PNG with a bar from left to right for each name, the first at the top.

    A row is (value, low, high), all from 0 to 1; the interval is drawn over the bar's end.
    """
    figure = Figure(figsize=(8, 0.8 + 0.32 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    names = [name.replace("_", " ") for name in rows]
    values, lows, highs = zip(*rows.values(), strict=True)
    reach = [
        [value - low for value, low in zip(values, lows, strict=True)],
        [high - value for value, high in zip(values, highs, strict=True)],
    ]
    axes.barh(names, values, color="#4c78a8", xerr=reach, ecolor=_INK, capsize=3)
    for place, (value, high) in enumerate(zip(values, highs, strict=True)):
        axes.text(high + 0.01, place, f"{value:.1%}", va="center", fontsize=9)
    axes.set(xlabel=across, xlim=(0, 1.1), ylim=(len(rows) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.spines[["top", "right"]].set_visible(False)
    _save_figure(figure, path)


def _save_figure(figure: Figure, path: Path) -> None:
    with files.whole_file(path) as unfinished:
        # No metadata: the same figures give the same bytes with every matplotlib.
        figure.savefig(unfinished, dpi=100, metadata={"Software": None})


def _encodings(picture: Image.Image, suffix: str) -> Iterator[bytes]:
    """The picture in its file's format, from the best quality down."""
    if suffix == ".png":
        yield _encoded(picture, "PNG", optimize=True)
        for colours in (256, 64, 16, 4):
            yield _encoded(picture.quantize(colours), "PNG", optimize=True)
    else:
        for quality in range(90, 0, -10):
            yield _encoded(picture, "JPEG", quality=quality)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _font(bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Greek, Cyrillic and Arabic letters too."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, 14)


def _answer_left(position: int) -> int:
    return _GAP + _SIDE + _GAP + _TEXT_WIDTH + _GAP + position * (_SIDE + _GAP)


def _draw_header(draw: ImageDraw.ImageDraw, answers: int, with_target: bool) -> None:
    titles = [(_GAP, "reference"), (_GAP + _SIDE + _GAP, "sentence")]
    titles += [(_answer_left(place), f"answer {place + 1}") for place in range(answers)]
    if with_target:
        titles.append((_answer_left(answers), "target"))
    for left, title in titles:
        draw.text((left, _GAP // 2), title, fill=_FAINT, font=_font())


def _draw_row(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    row: QueryRow,
    top: int,
    with_target: bool,
) -> None:
    _paste(picture, row.reference, _GAP, top)
    _draw_sentence(draw, row.text, row.labels, _GAP + _SIDE + _GAP, top)
    for place, answer in enumerate(row.answers):
        _paste(picture, answer, _answer_left(place), top)
        if place == row.right:
            _frame(draw, _answer_left(place), top, _RIGHT)
        elif place == 0:
            _frame(draw, _answer_left(place), top, _WRONG)
    if with_target:
        left = _answer_left(len(row.answers))
        _paste(picture, row.target, left, top)
        _frame(draw, left, top, _RIGHT)
        note = f"rank {row.target_rank}"
        box = draw.textbbox((left + 6, top + 4), note, font=_font())
        draw.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill="white")
        draw.text((left + 6, top + 4), note, fill=_INK, font=_font())


def _paste(picture: Image.Image, image: Image.Image, left: int, top: int) -> None:
    picture.paste(ImageOps.pad(image, (_SIDE, _SIDE), color="#eaeef2"), (left, top))


def _frame(draw: ImageDraw.ImageDraw, left: int, top: int, colour: str) -> None:
    box = (left - 4, top - 4, left + _SIDE + 3, top + _SIDE + 3)
    draw.rectangle(box, outline=colour, width=4)


def _draw_sentence(
    draw: ImageDraw.ImageDraw, text: str, labels: Sequence[str], left: int, top: int
) -> None:
    """Write the words in their colours, broken into lines, "…" where the row is full."""
    x, y = left, top
    space = draw.textlength(" ", font=_font())
    for chunk in _chunks(text, labels):
        width = sum(draw.textlength(word, font=_font(label in _COLOURS)) for word, label in chunk)
        if x > left and x + width > left + _TEXT_WIDTH:
            x, y = left, y + _LINE
        if y + 2 * _LINE > top + _SIDE and x + width + 2 * space > left + _TEXT_WIDTH - _SIDE:
            draw.text((x, y), "…", fill=_INK, font=_font())
            return
        for word, label in chunk:
            x += _draw_word(draw, word, label, x, y)
        x += space


def _draw_word(draw: ImageDraw.ImageDraw, word: str, label: str, x: float, y: float) -> float:
    font = _font(label in _COLOURS)
    colour = _COLOURS.get(label, _INK)
    width = draw.textlength(word, font=font)
    draw.text((x, y), word, fill=colour, font=font)
    if label in _COLOURS:  # not by colour alone
        height = y + (18 if label == "pos" else 9)
        draw.line((x, height, x + width, height), fill=colour, width=2)
    return width


def _chunks(text: str, labels: Sequence[str]) -> list[list[tuple[str, str]]]:
    """The words and marks with their labels, grouped where no space parts them."""
    spans = word_spans(text)
    assert len(spans) == len(labels), f"{len(labels)} labels for {len(spans)} words of {text!r}"
    group, groups = 0, []
    for number, (start, _) in enumerate(spans):
        if number and start > spans[number - 1][1]:
            group += 1
        groups.append(group)
    words = [(text[start:end], label) for (start, end), label in zip(spans, labels, strict=True)]
    numbered = zip(groups, words, strict=True)
    return [[word for _, word in chunk] for _, chunk in groupby(numbered, key=lambda pair: pair[0])]
