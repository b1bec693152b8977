"""What the queries of a composer are made of, for the protocol beside a result."""

from cir.composers.base import Composer


def reads_tags(composer: Composer) -> bool:
    """Whether the composer reads what a tagger finds in a sentence."""
    return composer.reads_objects or composer.text not in ("sentence", "none")


def made_of(composer: Composer) -> tuple[str, str]:
    """What its queries are made of: `query` and `edit` of
    cir.retrieval.ranking.ranking.Protocol."""
    if reads_tags(composer):
        return ("image and edit" if composer.reads_image else "edit"), "tagged"
    if composer.text == "none":
        return "image", "none"
    return ("image and sentence" if composer.reads_image else "sentence"), "none"
