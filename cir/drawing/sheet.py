"""Draw sheets: tables with one query per row, its text and the images found for it."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Protocol

import matplotlib
from PIL import Image, ImageDraw, ImageFont, ImageOps

from cir.edits.reading.word_splitter import word_spans

INK, FAINT, GREEN, AMBER, RED = "#1f2328", "#6e7781", "#1a7f37", "#bf8700", "#b3261e"
_PADDING = "#eaeef2"
_COLOURS = {"pos": GREEN, "neg": RED}  # of words, by the label of the tagger


def dejavu(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib and has letters of many languages."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf" / name, size)


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels, and fonts.

    `side` is the side of the square that holds an image, `gap` the space between squares and
    `caption` the height of the caption under an image. `top` is the height above the first row,
    `bottom` the height below the last one, and `line` the height of a line of text.
    """

    side: int
    gap: int
    caption: int
    frame: int
    top: int
    bottom: int
    line: int
    font: ImageFont.FreeTypeFont
    bold: ImageFont.FreeTypeFont


LARGE = Layout(
    side=120,
    gap=12,
    caption=0,
    frame=4,
    top=36,
    bottom=0,
    line=22,
    font=dejavu(14),
    bold=dejavu(14, bold=True),
)
SMALL = Layout(
    side=72,
    gap=10,
    caption=16,
    frame=3,
    top=22,
    bottom=10,
    line=14,
    font=dejavu(11),
    bold=dejavu(11, bold=True),
)


class Canvas:
    """A picture that cells are drawn on."""

    def __init__(self, width: int, height: int, layout: Layout) -> None:
        self.picture = Image.new("RGB", (width, height), "white")
        self.draw = ImageDraw.Draw(self.picture)
        self.layout = layout

    def write(self, left: float, top: float, text: str, colour: str, bold: bool = False) -> None:
        """Write one line of text; (left, top) is its upper left corner."""
        font = self.layout.bold if bold else self.layout.font
        self.draw.text((left, top), text, fill=colour, font=font)

    def length(self, text: str, bold: bool = False) -> float:
        """Return the width of the text in pixels."""
        return self.draw.textlength(text, font=self.layout.bold if bold else self.layout.font)


class Cell(Protocol):
    """One field of a row."""

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        """Draw the cell into a column of this width; (left, top) is the upper left corner."""


@dataclass(frozen=True)
class Picture:
    """An image with a caption under it and a note over its corner.

    `colour` is the colour of the frame and of the caption; None draws no frame.
    """

    image: Image.Image
    colour: str | None = None
    caption: str = ""
    note: str = ""

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        layout = canvas.layout
        square = ImageOps.pad(self.image, (layout.side, layout.side), color=_PADDING)
        canvas.picture.paste(square, (left, top))
        if self.colour is not None:
            wide = layout.frame
            right, bottom = left + layout.side + wide - 1, top + layout.side + wide - 1
            box = (left - wide, top - wide, right, bottom)
            canvas.draw.rectangle(box, outline=self.colour, width=wide)
        if self.note:
            corner = (left + 6, top + 4)
            box = canvas.draw.textbbox(corner, self.note, font=layout.font)
            box = (box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2)
            canvas.draw.rectangle(box, fill="white")
            canvas.write(*corner, self.note, INK)
        caption = _shortened(self.caption, canvas, layout.side + layout.gap - 2)
        canvas.write(left, top + layout.side + 4, caption, self.colour or INK)


@dataclass(frozen=True)
class Text:
    """A text in as many lines as fit beside an image, with a faint note below."""

    text: str
    note: str

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        line = canvas.layout.line
        most = canvas.layout.side // line - 1  # the last line is the note's
        letters = 2 * width // line  # a letter is half as wide as a line is high
        lines = textwrap.wrap(self.text, letters, max_lines=most, placeholder=" …")
        for number, words in enumerate(lines):
            canvas.write(left, top + number * line, words, INK)
        canvas.write(left, top + len(lines) * line + 3, self.note, FAINT)


@dataclass(frozen=True)
class Sentence:
    """A sentence whose words to add are green and underlined, those to remove red and struck out.

    `labels` has the label of the tagger for each word: "pos", "neg" or "other".
    """

    text: str
    labels: Sequence[str]

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        """Write the words in their colours, broken into lines; "…" ends a text that is too long."""
        side, line = canvas.layout.side, canvas.layout.line
        x, y = left, top
        space = canvas.length(" ")
        for chunk in self._chunks():
            wide = sum(canvas.length(word, label in _COLOURS) for word, label in chunk)
            if x > left and x + wide > left + width:
                x, y = left, y + line
            if y + 2 * line > top + side and x + wide + 2 * space > left + width - side:
                canvas.write(x, y, "…", INK)
                return
            for word, label in chunk:
                x += _draw_word(canvas, word, label, x, y)
            x += space

    def _chunks(self) -> Iterator[list[tuple[str, str]]]:
        """Yield the words and punctuation with their labels, grouped where no space is between."""
        spans = word_spans(self.text)
        count = f"{len(self.labels)} labels for {len(spans)} words of {self.text!r}"
        assert len(spans) == len(self.labels), count
        group, words = 0, []
        for number, ((start, end), label) in enumerate(zip(spans, self.labels, strict=True)):
            group += bool(number and start > spans[number - 1][1])
            words.append((group, (self.text[start:end], label)))
        for _, chunk in groupby(words, key=lambda pair: pair[0]):
            yield [word for _, word in chunk]


@dataclass(frozen=True)
class Column:
    """A column of a sheet; `width` is in pixels."""

    title: str
    width: int


def draw_sheet(
    rows: Sequence[Sequence[Cell]], columns: Sequence[Column], layout: Layout
) -> Image.Image:
    """Draw one row of cells per query under the titles of the columns.

    A row may have fewer cells than there are columns. Without rows, the picture says so.
    """
    gap = layout.gap
    *lefts, width = accumulate((column.width + gap for column in columns), initial=gap)
    step = layout.side + layout.caption + gap
    height = layout.top + max(1, len(rows)) * step + layout.bottom
    canvas = Canvas(width, height, layout)
    titles = [column.title for column in columns] if rows else ["no queries"]
    for left, title in zip(lefts, titles, strict=False):
        canvas.write(left, gap // 2, title, FAINT)
    for number, row in enumerate(rows):
        for left, column, cell in zip(lefts, columns, row, strict=False):
            cell.draw(canvas, left, layout.top + number * step, column.width)
    return canvas.picture


def _shortened(text: str, canvas: Canvas, width: int) -> str:
    """Put the text on one line and cut its end so that it is at most `width` pixels wide."""
    text = " ".join(text.split())
    while text and canvas.length(text) > width:
        text = text.removesuffix("…")[:-1] + "…"
    return text


def _draw_word(canvas: Canvas, word: str, label: str, x: float, y: float) -> float:
    """Draw one word and return its width."""
    marked = label in _COLOURS
    colour = _COLOURS.get(label, INK)
    width = canvas.length(word, marked)
    canvas.write(x, y, word, colour, marked)
    if marked:  # a line too, as not everyone can tell the colours apart
        height = y + (18 if label == "pos" else 9)
        canvas.draw.line((x, height, x + width, height), fill=colour, width=2)
    return width
