"""A page to look at: the figures of a run and its queries, in one HTML file that opens offline.

`results` reads what the stages measured, `gallery` chooses queries and shrinks their images,
`figures` draws, and `page` puts it all into page.html, style.css and script.js.
"""

from cir.report.gallery import Gallery, build_gallery, read_answers
from cir.report.page import render
from cir.report.results import Results, read_results

__all__ = ["Gallery", "Results", "build_gallery", "read_answers", "read_results", "render"]
