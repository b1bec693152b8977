"""A page to look at: the figures of a run and its queries, in one HTML file that opens offline.

`results` reads what the stages measured, `gallery` chooses queries and shrinks their images,
`figures` draws, `classes` and `text_search` word the sections on class-level retrieval and on
search by words, and `page` puts it all into page.html, style.css and script.js.
"""

from cir.report.gallery import Gallery, build_gallery, read_answers
from cir.report.page import render
from cir.report.results import (
    ClassResults,
    Results,
    TextResults,
    read_class_results,
    read_results,
    read_text_results,
)

__all__ = [
    "ClassResults",
    "Gallery",
    "Results",
    "TextResults",
    "build_gallery",
    "read_answers",
    "read_class_results",
    "read_results",
    "read_text_results",
    "render",
]
