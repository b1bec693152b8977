"""A sheet of class-level queries with the images that were found for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from cir.classes.scoring.scoring import Part
from cir.images.shards import ImageShards
from cir.retrieval.ranking.hits import ClassRanking

_SIDE, _GAP, _CAPTION, _HEADER = 72, 10, 16, 22
_ANSWERS = 10
_INK, _FAINT, _RIGHT, _WRONG = "#1f2328", "#6e7781", "#1a7f37", "#b3261e"


@dataclass(frozen=True)
class Found:
    """What a row shows: a query, its class, and the first answers with theirs."""

    query: Image.Image
    label: str
    answers: Sequence[Image.Image]
    labels: Sequence[str]


def rows_of(
    ranking: ClassRanking,
    queries: Part,
    gallery: Part,
    query_images: ImageShards,
    gallery_images: ImageShards,
    chosen: Sequence[int],
) -> list[Found]:
    """The rows of these queries, by position."""
    rows = []
    for query in chosen:
        places = ranking.top_indices[query][:_ANSWERS]
        rows.append(
            Found(
                query_images.image(queries.ids[query]),
                queries.classes[query],
                [gallery_images.image(gallery.ids[place]) for place in places],
                [gallery.classes[place] for place in places],
            )
        )
    return rows


def sheet(rows: Sequence[Found]) -> Image.Image:
    """One row per query, best answer first: right ones framed in green, wrong ones in red.

    Under each image stands its class.
    """
    answers = max((len(row.answers) for row in rows), default=0)
    step = _SIDE + _CAPTION + _GAP
    width = _GAP + (1 + answers) * (_SIDE + _GAP) + _GAP
    picture = Image.new("RGB", (width, _HEADER + _GAP + max(1, len(rows)) * step), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    titles = ["query", *(str(place + 1) for place in range(answers))] if rows else ["no queries"]
    for column, title in enumerate(titles):
        draw.text((_left(column), 5), title, fill=_FAINT, font=font)
    for number, row in enumerate(rows):
        top = _HEADER + number * step
        _draw(picture, draw, (_left(0), top), row.query, row.label, _INK)
        for place, (answer, label) in enumerate(zip(row.answers, row.labels, strict=True), 1):
            colour = _RIGHT if label == row.label else _WRONG
            _draw(picture, draw, (_left(place), top), answer, label, colour)
    return picture


def _left(column: int) -> int:
    return _GAP + column * (_SIDE + _GAP) + (_GAP if column else 0)


def _draw(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    image: Image.Image,
    label: str,
    colour: str,
) -> None:
    left, top = corner
    picture.paste(ImageOps.pad(image, (_SIDE, _SIDE), color="#eaeef2"), corner)
    if colour != _INK:
        box = (left - 3, top - 3, left + _SIDE + 2, top + _SIDE + 2)
        draw.rectangle(box, outline=colour, width=3)
    font, label = ImageFont.load_default(11), " ".join(label.split())
    while label and draw.textlength(label, font=font) > _SIDE + _GAP - 2:
        label = label.removesuffix("…")[:-1] + "…"
    draw.text((left, top + _SIDE + 4), label, fill=colour, font=font)
