"""Draw a sheet of composed queries with the images that were found."""

from collections.abc import Sequence

from PIL import Image

from cir.core.records import Triplet
from cir.drawing.sheet import GREEN, LARGE, RED, Column, Picture, Sentence, draw_sheet
from cir.images.shards import ImageShards
from cir.retrieval.ranking.ranking import Ranking

_TEXT_WIDTH = 330


def query_sheet(
    ranking: Ranking,
    triplets: Sequence[Triplet],
    images: ImageShards,
    queries: Sequence[int],
    labels: Sequence[Sequence[str]],
    answers: int = 5,
    with_target: bool = False,
) -> Image.Image:
    """Draw a row for each query: the reference, the sentence and the first `answers` images.

    The target has a green frame; a wrong first answer has a red one.

    Args:
        ranking: what was found for every triplet.
        images: holds all images of the triplets and of the ranking.
        queries: positions in `triplets` of the queries to draw.
        labels: for each of `queries`, the label of the tagger for every word of its sentence.
        with_target: add a last column with the target and its rank.
    """
    rows, most = [], 0
    for query, words in zip(queries, labels, strict=True):
        triplet, first = triplets[query], ranking.top_ids(query)[:answers]
        row = [Picture(images.image(triplet.reference)), Sentence(triplet.text, words)]
        for place, name in enumerate(first):
            colour = GREEN if name == triplet.target else None if place else RED
            row.append(Picture(images.image(name), colour))
        if with_target:
            note = f"rank {ranking.target_ranks[query]}"
            row.append(Picture(images.image(triplet.target), GREEN, note=note))
        rows.append(row)
        most = max(most, len(first))
    titles = [f"answer {place + 1}" for place in range(most)] + ["target"] * with_target
    columns = [Column("reference", LARGE.side), Column("sentence", _TEXT_WIDTH)]
    columns += [Column(title, LARGE.side) for title in titles]
    return draw_sheet(rows, columns, LARGE)
