"""Put figures and protocols into the words of the page."""

import math
from collections.abc import Mapping

from cir.edits.reading.templates import NEGATIVE_SLOT, POSITIVE_SLOT
from cir.retrieval.results import Absent, Result

NONE = "–"
SPLITS = {
    "people": "written by another hand",
    "people_development": "the same, where settings were chosen",
    "unseen_families": "unseen families of verbs and names",
    "both_unseen": "both unseen",
    "unseen_templates": "unseen templates",
    "unseen_objects": "unseen objects",
    "seen": "templates and objects of training",
}
LABELS = {"other": "other", "pos": "added", "neg": "removed"}
_TEXTS = {
    "sentence": "the sentence",
    "edit": "the edit in words",
    "objects": "sums of objects",
    "difference": "difference of the sums",
    "none": NONE,
}
_GALLERIES = {
    "hard": "every test image: for each query its target, its reference and its near misses",
    "contest-like": "the targets and references of all queries, nothing else",
}
_QUERIES = {
    "image and edit": "a reference image with an edit",
    "image": "a reference image alone",
    "edit": "an edit alone",
}
_EDITS = {
    "tagged": "the objects that the tagger reads from the sentence",
    "true": "the true objects",
    "none": "none",
}


def percent(share: float | None, decimals: int = 1) -> str:
    """Write 0.9708 as "97.1%", and None as a dash."""
    if share is None:
        return NONE
    return f"{100 * share:.{decimals}f}%"


def interval(bounds: tuple[float, float]) -> str:
    """Write two shares as "98.8% to 99.7%"."""
    return f"{percent(bounds[0])} to {percent(bounds[1])}"


def count(number: float | None) -> str:
    """Write 12345 as "12,345", and None as a dash."""
    return NONE if number is None else f"{number:,.0f}"


def rate(per_second: float) -> str:
    """Write 1234.5 as "1,234" and 2.345 as "2.3": a low rate keeps two digits."""
    return count(per_second) if per_second >= 10 else f"{per_second:.2g}"


def decimal(value: float) -> str:
    """Write 0.8125 as "0.812"."""
    return f"{value:.3f}"


def kind(kind: str) -> str:
    """Write a kind of edit with a true minus sign: "+1 −2"."""
    return kind.replace("-", "−")


def kind_in_words(kind: str) -> str:
    """Write "+1 -2" as "adds 1, removes 2"; return any other text unchanged."""
    added, _, removed = kind.partition(" ")
    if not (added.startswith("+") and removed.startswith("-")):
        return kind
    parts = [("adds", added[1:]), ("removes", removed[1:])]
    return ", ".join(f"{verb} {n}" for verb, n in parts if n != "0") or "changes nothing"


def slots(templates: str) -> str:
    """Write the slots of templates as words: "add a [object to add]"."""
    words = {POSITIVE_SLOT: "[object to add]", NEGATIVE_SLOT: "[object to remove]"}
    for slot, word in words.items():
        templates = templates.replace(slot, word)
    return templates


def protocol(result: Result) -> str:
    """Describe in a few sentences what was ranked, against which gallery, and what counts."""
    said = result.protocol
    query, gallery = _known(_QUERIES, said["query"]), _known(_GALLERIES, said["gallery"])
    sentences = [
        f"{count(result.queries)} queries, each {query}, were ranked by {said['similarity']} "
        f"against one gallery of {count(result.gallery_size)} images ({gallery}).",
        f"A query counts as right if {said['hit']} comes first.",
    ]
    if said["edit"] != "none":
        sentences.append(f"The edit is {_known(_EDITS, said['edit'])}.")
    if said["ties"] == "against the target":
        sentences.append("An image with the same score as the target is ranked before it.")
    stays = "stays in" if said["reference_kept"] else "is taken out of"
    sentences.append(f"The reference of a query {stays} its gallery.")
    return " ".join(sentences)


def composer(name: str) -> str:
    """Write "tirg_of_objects" as "tirg of objects"."""
    return name.replace("_", " ")


def text_read(which: str) -> str:
    """Say which text a composer takes."""
    return _known(_TEXTS, which)


def absence(absent: Absent) -> str:
    """Say why a result was not measured."""
    what = absent.what[:1].upper() + absent.what[1:]
    return f"{what}: not measured, because {absent.why.rstrip('.')}."


def wilson_interval(right: int, queries: int) -> tuple[float, float]:
    """Return the 95% Wilson score interval of the share `right` of `queries` (at least one).

    Unlike a bootstrap interval, it has a width even where all queries are right, so it shows which
    kinds have few queries. Wilson, "Probable inference", JASA 22 (1927).
    """
    z = 1.959963984540054
    share, weight = right / queries, z * z / queries
    middle = (share + weight / 2) / (1 + weight)
    reach = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _known(words: Mapping[str, str], value: object) -> str:
    return words.get(str(value), str(value))
