"""A page to look at: the figures of a run and its queries, in one HTML file that opens offline.

`results` and `class_results` read what the stages measured, `gallery` chooses queries and shrinks
their images, `figures` draws, `classes` words the section on class-level retrieval, and `page` puts
it all into page.html, style.css and script.js.
"""

from cir.report.class_results import ClassResults, read_class_results
from cir.report.gallery import Gallery, build_gallery, read_answers
from cir.report.page import render
from cir.report.results import Results, read_results

__all__ = [
    "ClassResults",
    "Gallery",
    "Results",
    "build_gallery",
    "read_answers",
    "read_class_results",
    "read_results",
    "render",
]
