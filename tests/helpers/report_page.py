"""The page that the report stage writes, taken apart."""

import json
from html.parser import HTMLParser
from pathlib import Path

from stages import report

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """The text of a page, its elements with their attributes, and whether the tags are paired."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(html)
        assert self._open == [], f"{self._open} are never closed"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self._open):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make_page():
    report.main()
    return Path("report/index.html").read_text(encoding="utf-8")


def change(path, **changes):
    content = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**content, **changes}))
