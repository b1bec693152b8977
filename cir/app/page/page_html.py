"""Fill the page's templates, and format figures and file names for them."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cir.app.page.bundle import bundled
from cir.app.stores.records import safe_text
from cir.core import files
from cir.edits.reading.word_splitter import word_spans

UNSURE = 0.6  # a chip is marked if the tagger's confidence in its object is lower
_UNITS = ("bytes", "kB", "MB", "GB")


def response(template: str, context: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with a filled template; characters that UTF-8 cannot encode become question marks."""
    html = _ENVIRONMENT.get_template(template).render(context)
    return Response(html.encode("utf-8", "replace"), status, media_type="text/html")


def pieces(sentence: str, words: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Split a sentence into runs of words with one label: (text, "other", "pos" or "neg").

    A space between two words of one label belongs to their run. Without labelled words there are
    no runs.
    """
    spans = word_spans(sentence)
    if not words or len(words) != len(spans):
        return []
    parts, end_before, before = [], 0, "other"
    for (start, end), (_, label) in zip(spans, words, strict=True):
        parts.append((sentence[end_before:start], label if label == before else "other"))
        parts.append((sentence[start:end], label))
        end_before, before = end, label
    parts.append((sentence[end_before:], "other"))
    runs = groupby((part for part in parts if part[0]), key=lambda part: part[1])
    return [("".join(text for text, _ in run), label) for label, run in runs]


def doubt(confidence: float) -> str:
    """Say why a chip is marked as unsure; the text is empty if the confidence is high enough."""
    if confidence >= UNSURE:
        return ""
    share = math.floor(100 * confidence)  # never rounded up to the limit
    return f"Not sure: the tagger's confidence in this reading is {share}%"


def remarked(remarks: Sequence[str]) -> str:
    """Write the remarks on an edit as one line, which is empty if there are none."""
    return f"About the sentence: {'; '.join(remarks)}." if remarks else ""


def meaning(fit: str) -> str:
    """Say what "good", "fair" or "unlikely" compares an image with."""
    return {
        "good": "nearer than the best image of nearly all random queries",
        "fair": "nearer than the best image of most random queries",
        "unlikely": "no nearer than the best image of random queries",
    }[fit]


def shown(text: str) -> str:
    """Replace each byte of a file name that is not UTF-8 by the replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def file_name(path: str) -> str:
    """Return the last part of a path."""
    return shown(path.rsplit("/", 1)[-1])


def address(values: Mapping[str, Any], **changes: Any) -> str:
    """Return the page's address with these values, without those that are None or empty.

    It is relative, because the page may lie below a base path.
    """
    asked = {name: value for name, value in {**values, **changes}.items() if value}
    return "./?" + urlencode(asked, doseq=True, errors="replace") if asked else "./"


def score(value: float) -> str:
    """Write a cosine with two decimals."""
    return f"{value:.2f}".replace("-", "−")


def share(value: float) -> str:
    """Write a cosine as a percentage; a negative cosine gives 0."""
    return f"{100 * min(max(value, 0.0), 1.0):.1f}"


def milliseconds(seconds: float) -> str:
    """Write a time as "38 ms", or as "0.4 ms" if it is short."""
    return f"{1000 * seconds:.{0 if seconds >= 0.00995 else 1}f} ms"


def size(number: int) -> str:
    """Write the size of a file as "1.2 MB"; 1,000 bytes are 1 kB."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{1 if unit and value < 9.95 else 0}f} {_UNITS[unit]}"


def date(seconds: float) -> str:
    """Write a time in seconds since 1970 as a day and a minute in the server's time zone."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "not known"


def count(number: int | None) -> str:
    """Write 12345 as "12,345", and None as an empty text."""
    return "" if number is None else f"{number:,}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = (safe_text, shown, file_name, address, doubt, remarked, meaning)
    figures = (score, share, milliseconds, size, date, count)
    environment.globals["static"] = f"static/{STATIC_DIGEST}"
    environment.filters.update({helper.__name__: helper for helper in (*texts, *figures)})
    return environment


STATIC = Path(__file__).parent / "static"
# Of all files in STATIC. Their addresses hold it, so that browsers may keep them for ever.
STATIC_DIGEST = files.fingerprint(STATIC)[:12]
MADE = {"bundle.js": bundled(STATIC, "search").encode()}  # files that are not in STATIC

_ENVIRONMENT = _environment()
