"""Write the report of a run: one HTML file with figures and queries, which opens offline.

`results` reads the files of metrics. `gallery` chooses queries and shrinks their images. `figures`
draws plots. `wording` puts figures into words. `classes` and `text_search` prepare the sections on
class-level retrieval and on search by words. `page` fills everything into page.html, style.css and
script.js.
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
