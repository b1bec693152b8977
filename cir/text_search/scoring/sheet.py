"""Draw a sheet of text queries with the images that were found."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cir.drawing.sheet import AMBER, GREEN, RED, SMALL, Column, Picture, Text, draw_sheet
from cir.images.shards import ImageShards
from cir.text_search.data.queries import TextQuery
from cir.text_search.scoring.scoring import Measured

_ANSWERS, _TEXT_WIDTH = 8, 190


def choose(kinds: Sequence[str], count: int) -> list[int]:
    """Choose up to `count` queries of each kind, evenly spaced over the list.

    `kinds` has the kind of every query. Returns positions in it, kind by kind.
    """
    chosen = []
    for kind in dict.fromkeys(kinds):
        of_kind = [place for place, own in enumerate(kinds) if own == kind]
        places = np.linspace(0, len(of_kind) - 1, min(count, len(of_kind))).round().astype(int)
        chosen += [of_kind[place] for place in places]
    return chosen


def text_sheet(
    measured: Measured, queries: Sequence[TextQuery], images: ImageShards, chosen: Sequence[int]
) -> Image.Image:
    """Draw a row for each chosen query: its text and kind, and the first answers, best first.

    The grade of each answer is written under it. Answers of the highest grade that any image has
    for the query have a green frame, answers of a lower grade an amber one, other images a red
    one. `images` are the images that were ranked; `chosen` has positions in `queries`.
    """
    rows = []
    for place in chosen:
        query = queries[place]
        best = max(query.grades.values())
        row = [Text(query.text, query.kind)]
        for index in measured.ranking.top_indices[place][:_ANSWERS]:
            grade = query.grades.get(images.ids[index], 0)
            colour = GREEN if grade == best else AMBER if grade else RED
            caption = f"grade {grade} of {best}" if grade else "no answer"
            row.append(Picture(images.image(images.ids[index]), colour, caption))
        rows.append(row)
    answers = max(map(len, rows), default=1) - 1
    columns = [Column("query", _TEXT_WIDTH)]
    columns += [Column(str(place + 1), SMALL.side) for place in range(answers)]
    return draw_sheet(rows, columns, SMALL)
