"""A page to look at: the figures of a run and its queries, in one HTML file that opens offline.

`results`, `class_results` and `text_results` read what the stages measured, `gallery` chooses
queries and shrinks their images, `figures` draws, `classes` and `text_search` word the sections on
class-level retrieval and on search by words, and `page` puts it all into page.html, style.css and
script.js.
"""

from cir.report.class_results import ClassResults, read_class_results
from cir.report.gallery import Gallery, build_gallery, read_answers
from cir.report.page import render
from cir.report.results import Results, read_results
from cir.report.text_results import TextResults, read_text_results

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
