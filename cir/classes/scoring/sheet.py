"""Draw a sheet of class-level queries with the images that were found."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageFont

from cir.classes.scoring.scoring import Part
from cir.drawing.sheet import GREEN, RED, SMALL, Column, Picture, draw_sheet
from cir.images.shards import ImageShards
from cir.retrieval.ranking.ranking import HitRanking

_ANSWERS = 10
_LAYOUT = replace(SMALL, font=ImageFont.load_default(11))


def class_sheet(
    ranking: HitRanking,
    queries: Part,
    gallery: Part,
    query_images: ImageShards,
    gallery_images: ImageShards,
    chosen: Sequence[int],
) -> Image.Image:
    """Draw a row for each chosen query: its image and the first answers, best first.

    The class of each image is written under it. Answers of the query's class have a green frame,
    other answers a red one. `chosen` has positions in `queries`.
    """
    rows = []
    for query in chosen:
        label = queries.classes[query]
        row = [Picture(query_images.image(queries.ids[query]), caption=label)]
        for place in ranking.top_indices[query][:_ANSWERS]:
            answer = gallery.classes[place]
            colour = GREEN if answer == label else RED
            row.append(Picture(gallery_images.image(gallery.ids[place]), colour, answer))
        rows.append(row)
    answers = max(map(len, rows), default=1) - 1
    columns = [Column("query", SMALL.side + SMALL.gap)]
    columns += [Column(str(place + 1), SMALL.side) for place in range(answers)]
    return draw_sheet(rows, columns, _LAYOUT)
