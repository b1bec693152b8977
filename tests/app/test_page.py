"""Test the HTML of the page: without a script, as fragments for the script, and escaped."""

import asyncio
import re
import time
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cir.app.page import bundle, page_html
from cir.app.page.page_form import PageForm
from cir.app.service import Search
from cir.app.stores.records import safe_text
from cir.core.errors import UserError
from cir.edits.reading.word_splitter import split_words
from tests.helpers.fake_search_model import plain
from tests.helpers.page_gallery import NASTY, NOT_UTF8, PAGE, gallery_service, picture
from tests.helpers.search_app import client_of, ids, png

EXAMPLE = {"data-action": "example"}
VOID = "area base br col embed hr img input link meta source track wbr path rect circle".split()


class Elements(HTMLParser):
    """Parses a page into (tag, attributes) in order and text; all elements must be closed.

    Elements inside <template> are only in `everything`.
    """

    def __init__(self, response):
        super().__init__()
        self.everything, self.found, self.words, self.open = [], [], [], []
        self.source = response.text
        self.feed(response.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        self.everything.append((tag, dict(attrs)))
        if "template" not in self.open:
            self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag, **attributes):
        """Return the elements of a tag with these attributes ("class_" is one of the classes)."""
        wanted = attributes.pop("class_", None)
        return [
            attrs
            for name, attrs in self.found
            if name == tag
            and all(attrs.get(key) == value for key, value in attributes.items())
            and (wanted is None or wanted in (attrs.get("class") or "").split())
        ]

    def one(self, tag, **attributes):
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    @property
    def hits(self):
        return [attrs["data-id"] for attrs in self.all("li", class_="hit")]

    @property
    def chips(self):
        """Return (sign, name) of each chip."""
        labels = [attrs["aria-label"] for attrs in self.all("button", class_="word")]
        signs = [attrs["data-sign"] for attrs in self.all("li", class_="chip")]
        return list(zip(signs, [label.removeprefix("Edit ") for label in labels], strict=True))

    @property
    def doubts(self):
        """Return the title of the mark of each chip, and None for a chip without the mark."""
        marks = self.all("span", class_="doubt")
        assert all(mark["aria-label"] == "not sure" for mark in marks)
        return [None if "hidden" in mark else mark["title"] for mark in marks]

    @property
    def selected(self):
        """Return the selected folder."""
        (value,) = [attrs["value"] for attrs in self.all("option") if "selected" in attrs]
        return value

    @property
    def scores(self):
        """Return the ids of the hits on the page, in order."""
        texts = re.findall('<span class="score"[^>]*>([^<]*)<', self.source)
        return [float(text.replace("−", "-")) for text in texts]

    @property
    def state(self):
        return self.one("section", id="results")["data-state"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with gallery_service(tmp_path_factory.mktemp("gallery")) as service:
        yield service


@pytest.fixture(scope="module")
def client(service):
    return client_of(service)


@pytest.fixture(scope="module")
def image_ids(service):
    return ids(service)


@pytest.fixture
def page(client):
    """Return a function that opens an address, checks its status, and gives its elements."""

    def opened(address, status=200):
        response = client.get(address)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        return Elements(response)

    return opened


@pytest.fixture
def found(client):
    """Return a function that posts the form, with an image or without, and gives its elements."""

    def asked(image=None, status=200, **fields):
        # Without a file httpx uses another encoding of forms; the script always uses this one.
        files = {"image": ("a.png", image)} if image else {"nothing": (None, "")}
        response = client.post("/page/search", data=fields, files=files)
        assert response.status_code == status, response.text
        elements = Elements(response)
        assert not elements.all("html")
        assert not elements.all("form")
        return elements

    return asked


@pytest.fixture
def expected(service):
    """Return a function that gives the ids of the hits of a search."""

    def asked(**fields):
        search = Search(**{"limit": PAGE, **fields})
        return [hit.image.id for hit in asyncio.run(service.search(search)).hits]

    return asked


def test_start(page, service, image_ids):
    elements = page("/")
    assert elements.state == "start"
    assert "51 images" in elements.text
    examples = [parse_qs(urlsplit(a["href"]).query) for a in elements.all("a", **EXAMPLE)]
    assert len(examples) == 3
    assert all(set(example) == {"q"} for example in examples)
    assert {example["q"][0] for example in examples} <= {safe_text(tag) for tag in image_ids}
    assert len(set(elements.hits)) == 10
    assert set(elements.hits) <= set(image_ids.values())
    assert elements.all("a", **EXAMPLE) != page("/").all("a", **EXAMPLE) or (
        elements.hits != page("/").hits
    )


def test_words_without_a_script(page, expected):
    elements = page("/?q=red&folder=&tag=&after=&image_weight=1&least_score=0")
    assert elements.state == "found"
    assert elements.hits == expected(text="red")
    assert elements.one("input", id="q")["value"] == "red"
    assert "Images of “red”" in elements.text
    assert "51 images searched in " in elements.text
    assert "encoding " in elements.text
    assert elements.chips == []
    first = elements.all("dl", class_="facts")
    assert len(first) == PAGE
    assert "32 × 32 pixels" in elements.text


def test_following_the_pages_shows_every_image_once(page, image_ids):
    seen, address, pages = [], "/?q=blue&least_score=0", []
    while address:
        elements = page(address)
        seen += elements.hits
        pages.append(len(elements.hits))
        following = elements.all("a", rel="next")
        address = following[0]["href"] if following else None
    assert pages == [24, 24, 3]
    assert sorted(seen) == sorted(image_ids.values())
    back = page(elements.one("a", rel="prev")["href"])
    assert back.hits == seen[24:48]
    assert page(back.one("a", rel="prev")["href"]).hits == seen[:24]
    assert "25 to 48" in back.text


def test_beyond_the_last_page(page):
    elements = page("/?q=blue&offset=500")
    assert "No more results" in elements.text
    assert page(elements.one("a", **{"data-action": "page"})["href"]).hits


def test_words_that_the_model_cuts_off_are_shown(page):
    query = "+".join(["blue"] * 24)
    assert "did not read" not in page(f"/?q={query}").text
    assert "It did not read: “red mug & <b>”." in page(f"/?q={query}+red+mug+%26+%3Cb%3E").text


def test_more_like_this_without_a_script(page, expected, image_ids):
    first = page("/?q=red").all("a", **{"data-action": "more"})[0]["href"]
    elements = page(first)
    (chosen,) = parse_qs(urlsplit(first).query)["image_id"]
    assert elements.hits == expected(image_id=chosen)
    assert chosen not in elements.hits
    assert elements.one("input", id="image-id")["value"] == chosen
    assert "Images like this one" in elements.text
    assert elements.all("img", src=f"thumbnails/{chosen}?size=256")


def test_a_sentence_becomes_chips(page, expected, image_ids):
    start = image_ids["red over blue"]
    elements = page(f"/?image_id={start}&q=add+yellow+and+remove+the+red")
    assert elements.chips == [("add", "yellow"), ("remove", "red")]
    assert elements.hits == expected(image_id=start, text="add yellow and remove the red")
    assert len(elements.all("ins")) == 1
    assert len(elements.all("del")) == 1
    assert "Read as: add yellow and remove the red" in elements.text
    assert "Images like this one, changed" in elements.text
    weight = elements.one("input", id="image-weight")
    assert "disabled" not in weight
    assert (weight["min"], weight["max"], weight["value"]) == ("0", "2", "1")


def test_chips_changed_by_hand_take_the_place_of_the_sentence(found, expected, image_ids):
    start = image_ids["red"]
    fields = {"image_id": start, "q": "add yellow", "edited": "1", "add": ["blue", "green"]}
    elements = found(**fields, remove=["red"])
    assert elements.chips == [("add", "blue"), ("add", "green"), ("remove", "red")]
    wanted = expected(image_id=start, text="add yellow", add=("blue", "green"), remove=("red",))
    assert elements.hits == wanted
    assert elements.hits != expected(image_id=start, text="add yellow")
    unedited = found(image_id=start, q="add yellow", add=["blue"])
    assert unedited.chips == [("add", "yellow")]


def test_a_chip_that_is_not_sure_is_marked(page, found, client, image_ids):
    fields = {"image_id": image_ids["red"], "q": "add white, remove perhaps red"}
    why = "Not sure: the tagger's confidence in this reading is 40%"
    for elements in (page(f"/?{urlencode(fields)}"), found(**fields)):
        assert elements.chips == [("add", "white"), ("remove", "red")]
        assert elements.doubts == [None, why]
        titles = [word.get("title") for word in elements.all("button", class_="word")]
        assert titles == [None, why]
    typed = client.post("/page/chips", files={"q": (None, fields["q"])})
    assert Elements(typed).doubts == [None, why]
    by_hand = found(**fields, edited="1", add=["white"], remove=["red"])
    assert by_hand.chips == elements.chips
    assert by_hand.doubts == [None, None]


@pytest.mark.parametrize(
    ("confidence", "percent"), [(1.0, None), (0.6, None), (0.5999, 59), (0.25, 25), (0.0, 0)]
)
def test_only_a_low_confidence_gives_a_doubt(confidence, percent):
    doubt = page_html.doubt(confidence)
    assert doubt.endswith(f" is {percent}%") if percent is not None else doubt == ""


def test_what_is_odd_about_a_sentence_stands_by_its_chips(page, found, image_ids):
    def asked(**fields):
        """Return the line of the page and that of the fragment, which the script shows."""
        fields = {"image_id": image_ids["red"], **fields}
        whole, part = page(f"/?{urlencode(fields)}"), found(**fields)
        (line,) = re.findall(
            '<p id="remarks" class="remarks" aria-live="polite">(.*)</p>', whole.source
        )
        assert whole.one("ul", id="chips")["data-remarks"] == unescape(line)
        assert part.one("ul", id="chips")["data-remarks"] == unescape(line)
        return unescape(line)

    assert asked(q="add blue, remove blue") == (
        "About the sentence: it both adds and removes 'blue'."
    )
    assert asked(q="füge bitte roten Hut hinzu") == (
        "About the sentence: it does not look like English, the only language that the tagger "
        "reads; it names no object to add or to remove."
    )
    assert asked(q="add blue") == asked(q="") == ""
    assert asked(q="add blue, remove blue", edited="1", add="blue", remove="blue") == ""


def submitted(elements, **changed):
    """Return the address that the form opens without a script, after changes of some fields."""
    fields = [
        (attrs["name"], changed.get(attrs["name"], attrs.get("value", "")))
        for attrs in elements.all("input")
        if attrs.get("name") and "disabled" not in attrs
    ]
    return f"/?{urlencode(fields)}"


def test_chips_changed_by_hand_are_kept_without_a_script(page, expected, image_ids):
    start = image_ids["red"]
    chips = [("add", "blue"), ("add", 'a "quoted" name'), ("remove", "red")]
    query = urlencode([("image_id", start), ("q", "add yellow"), ("edited", "1"), *chips])
    first = page(f"/?{query}")
    again = page(submitted(first, least_score="0.1"))
    assert first.chips == again.chips == chips
    wanted = {"image_id": start, "add": ("blue", 'a "quoted" name'), "remove": ("red",)}
    assert again.hits == expected(text="add yellow", least_score=0.1, **wanted)
    assert page(submitted(again)).chips == chips
    other = page(submitted(again, q="add white"))  # the sentence is new, so it is tagged again
    assert other.chips == [("add", "white")]
    assert page(submitted(other)).chips == [("add", "white")]
    no_sentence = page(f"/?image_id={start}&edited=1&add=blue")
    assert page(submitted(no_sentence)).chips == [("add", "blue")]
    assert page(submitted(no_sentence, q="add white")).chips == [("add", "white")]
    (reread,) = first.all("a", class_="reread")
    assert page(reread["href"]).chips == [("add", "yellow")]


def test_nothing_tagged_invites_to_add_a_chip(found, expected, image_ids):
    start = image_ids["red"]
    elements = found(image_id=start, q="something nicer")
    assert elements.hits == expected(image_id=start)
    assert "The sentence names nothing to add or to remove" in elements.text
    assert len(elements.all("button", **{"data-action": "new-chip"})) == 2
    by_hand = found(image_id=start, q="add blue", edited="1")
    assert by_hand.hits == expected(image_id=start)
    assert "There is no chip, so these are the images most like the one you chose." in by_hand.text


def test_without_a_tagger_the_page_says_how_changes_are_given(tmp_path, page, expected, image_ids):
    with gallery_service(tmp_path, has_tagger=False) as service:
        client, start = client_of(service), image_ids["red"]

        def opened(query, status=200):
            response = client.get(f"/?{query}")
            assert response.status_code == status
            return Elements(response)

        elements = opened(f"image_id={start}")
        assert elements.hits == expected(image_id=start)
        assert elements.one("input", id="q")["placeholder"] == "needs the tagger: add chips below"
        assert "data-no-tagger" in elements.one("form", id="search")
        assert "and name what to add and what to remove." in elements.text
        told = "A change in a sentence needs the tagger, which is missing: train it with dvc repro"
        assert told in elements.text
        assert opened("q=red+and+blue").hits == expected(text="red and blue")
        by_hand = opened(f"image_id={start}&q=never+read&edited=1&add=blue")
        assert by_hand.hits == expected(image_id=start, add=("blue",), remove=())
        assert by_hand.chips == [("add", "blue")]
        assert by_hand.all("a", class_="reread") == []
        refused = opened(f"image_id={start}&q=add+blue", 503)
        assert refused.state == "error"
        assert refused.source.count(told) == 2  # as the reason and beside the chips
        assert client.post("/page/chips", data={"q": "add blue"}).status_code == 503
    assert "tagger" not in page("/").text


def test_an_upload(found, expected):
    image = png(picture("green", "red", (40, 60)))
    elements = found(image=image)
    assert elements.hits == expected(image=image)
    assert elements.chips == []
    changed = found(image=image, q="remove red add white", image_weight="0.5")
    assert changed.hits == expected(image=image, text="remove red add white", image_weight=0.5)
    assert changed.hits != found(image=image, q="remove red add white").hits
    steps = re.findall(r"(\w+) [\d.]+ ms(?=[, ])", changed.text)
    assert steps == ["in", "image", "sentence", "encoding", "search"]


def test_the_image_can_count_nothing(found, expected, image_ids):
    fields = {"image_id": image_ids["red"], "edited": "1", "image_weight": "0"}
    elements = found(**fields, add=["blue"])
    assert elements.hits == expected(image_id=image_ids["red"], add=("blue",), image_weight=0.0)
    refused = found(**fields, q="no word of it", status=400)
    assert refused.state == "error"
    assert "nothing to search by" in refused.text


def test_filters(page, service):
    records = list(service.store.images())
    elements = page("/?q=blue&folder=red")
    assert len(elements.hits) == 6
    assert "6 images searched" in elements.text
    assert elements.selected == "red"
    assert "open" in elements.one("details", id="filters")
    elements = page("/?q=blue&tag=red+over+blue&tag=")
    assert elements.hits == [one.id for one in records if one.tags == ("red over blue",)]
    assert elements.one("input", type="checkbox", name="tag")["value"] == "red over blue"
    day = page_html.date(records[0].date)[:10]
    assert len(page(f"/?q=blue&after={day}&before={day}").hits) == PAGE
    assert page("/?q=blue&before=1999-12-31").hits == []
    elements = page("/?q=blue&most_kb=0.001")
    assert "No image passes the filters" in elements.text
    cleared = page(elements.one("a", **{"data-action": "clear-filters"})["href"])
    assert len(cleared.hits) == PAGE
    assert "open" not in cleared.one("details", id="filters")


def test_filters_alone_and_other_orders(page, service):
    records = list(service.store.images())
    elements = page("/?folder=red")
    assert len(elements.hits) == len([one for one in records if one.paths[0].startswith("red/")])
    assert "Images that pass the filters" in elements.text
    assert elements.scores == []
    by_name = [one.id for one in sorted(records, key=lambda one: one.paths[0])]
    elements = page("/?sort=name")
    assert "All images" in elements.text
    assert elements.hits == by_name[:PAGE]
    assert page(elements.one("a", rel="next")["href"]).hits == by_name[PAGE : 2 * PAGE]
    elements = page("/?q=red&sort=name&duplicates=0.97")
    assert "the best 1,000, by name" in elements.text
    shown = [page(f"/?q=red&duplicates=0.6&offset={first}") for first in range(0, 72, PAGE)]
    hidden = 51 - sum(len(one.hits) for one in shown)
    assert hidden > 1
    assert f"{hidden} near duplicates hidden (cosine 0.6 or more)" in shown[0].text
    assert "Sort must be" in page("/?q=red&sort=size", status=400).text
    assert "cosine of near duplicates must be a number" in page("/?q=a&duplicates=x", 400).text
    picked = elements.one("form", id="picked")
    assert (picked["action"], picked["method"], "hidden" in picked) == ("download", "post", False)
    ticks = elements.all("input", form="picked", name="id")
    assert [tick["value"] for tick in ticks] == elements.hits
    assert "hidden" in page("/").one("form", id="picked")


def test_filters_are_kept_from_page_to_page(page):
    elements = page("/?q=blue&least_kb=0.01&image_weight=0.5&after=1999-01-01")
    query = parse_qs(urlsplit(elements.one("a", rel="next")["href"]).query)
    assert query == {
        "q": ["blue"],
        "least_kb": ["0.01"],
        "image_weight": ["0.5"],
        "after": ["1999-01-01"],
        "offset": ["24"],
    }


def test_the_cut_off(page, service):
    all_scores = page("/?q=blue").scores
    assert len(all_scores) == PAGE
    assert all_scores == sorted(all_scores, reverse=True)
    kept = page("/?q=blue&least_score=0.5")
    assert len(kept.hits) == sum(score >= 0.5 for score in all_scores)
    assert 0 < len(kept.hits) < PAGE
    nothing = page("/?q=red+green&least_score=0.97")
    assert nothing.hits == []
    assert "No image scores 0.97 or more" in nothing.text
    best = page("/?q=red+green").scores[0]
    assert f"The best one scores {best:.2f}." in nothing.text
    lower = nothing.one("a", **{"data-action": "lower"})
    assert best - 0.06 < float(lower["data-least"]) <= best
    assert page(lower["href"]).hits


def test_names_tags_and_queries_are_escaped(page, found):
    elements = page("/?q=orange")
    assert elements.hits
    names = [attrs["data-name"] for attrs in elements.all("li", class_="hit")]
    assert f"{NASTY}.png" in names
    alt = [attrs["alt"] for attrs in elements.all("img") if NASTY in attrs.get("alt", "")]
    assert alt == [f"{NASTY}.png: {NASTY}"]
    assert elements.all("img", src="x") == []
    assert NASTY in {attrs["value"] for attrs in elements.all("option")}
    query = "\"><script>alert(1)</script>' onfocus=alert(1) {{ 7 * 7 }} </title>"
    elements = page(f"/?q={quote(query)}")
    assert elements.one("input", id="q")["value"] == query
    assert f"Images of “{query}”" in elements.text
    assert len(elements.all("script")) == 1
    assert found(q=query).hits
    by_hand = found(image_id=elements.hits[0], edited="1", add=[NASTY], remove=[query])
    assert by_hand.chips == [("add", NASTY), ("remove", query)]
    refused = page(f"/?q=red&least_kb={quote(NASTY)}", status=400)
    assert NASTY[:40] in refused.text
    assert refused.one("input", name="least_kb")["value"] == NASTY


def test_nothing_is_inline(page, found, image_ids):
    """The policy allows only the styles and scripts in /static."""
    start = image_ids["red"]
    for elements in (
        page("/"),
        page(f"/?image_id={start}&q=add+blue&least_score=0.2&folder=red&tag=red"),
        page("/?q=blue&least_score=1"),
        page("/?q=blue&least_kb=x", status=400),
        found(image_id=start, q="nothing of it"),
    ):
        for tag, attrs in elements.everything:
            assert tag != "style"
            assert not [name for name in attrs if name == "style" or name.startswith("on")]
            for name in ("src", "href", "action", "srcset"):
                # Addresses are relative, because the page may lie below a base path.
                ours = ("./", "#", "static/", "thumbnails/", "images/", "docs")
                ours += ("page/index", "download")
                assert attrs.get(name, "./").startswith(ours)
        scripts = [attrs["src"] for attrs in elements.all("script")]
        assert scripts in ([], [f"static/{page_html.STATIC_DIGEST}/bundle.js"])


def test_static_files_are_kept_as_long_as_the_digest_is_theirs(client):
    digest = page_html.STATIC_DIGEST
    for name in ("search.js", "style.css", "icon.svg"):
        lasting = client.get(f"/static/{digest}/{name}")
        assert lasting.headers["cache-control"] == "private, max-age=31536000, immutable"
        plainly = client.get(f"/static/{name}")
        assert plainly.headers["cache-control"] == "no-store"
        assert plainly.content == lasting.content
    assert client.get(f"/static/{digest[:-1]}x/search.js").status_code == 404
    assert client.get(f"/static/{digest}/../page.py").status_code == 404


def test_texts_are_compressed_and_pictures_are_not(client, service):
    whole = client.get("/?q=red", headers={"accept-encoding": "identity"})
    small = client.get("/?q=red", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in whole.headers
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < len(whole.content) / 4
    one = next(iter(ids(service).values()))
    for path in (f"/thumbnails/{one}", f"/images/{one}"):
        answer = client.get(path, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in answer.headers


def test_the_modules_of_the_script(client):
    """Every imported script exists, every script is imported, and none is long."""
    waiting, seen = ["search.js"], set()
    while waiting:
        name = waiting.pop()
        response = client.get(f"/static/{name}")
        assert response.status_code == 200, name
        assert response.headers["content-type"].startswith("text/javascript")
        lines = response.text.splitlines()
        assert len(lines) < 250, name
        assert max(map(len, lines)) <= 100, name
        imported = set(re.findall(r'^import \{[^}]+\} from "\./(\w+\.js)";$', response.text, re.M))
        assert len(imported) == response.text.count("import "), name
        seen.add(name)
        waiting += imported - seen
    static = Path(page_html.__file__).parent / "static"
    assert seen == {path.name for path in static.glob("**/*.js")} - {"starting.js"}


def test_the_modules_are_one_script(client, page, tmp_path):
    (script,) = [one["src"] for one in page("/").all("script")]
    answer = client.get(f"/{script}")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert not re.findall("^(?:import|export) ", answer.text, re.M)
    static = Path(page_html.__file__).parent / "static"
    for path in static.glob("*.js"):
        defined = re.findall(r"^export (?:async )?(?:function|const) (\w+)", path.read_text(), re.M)
        assert len(defined) == path.read_text().count("\nexport "), path.name
        if path.name not in ("search.js", "starting.js"):
            assert answer.text.count(f"const ${path.stem} = (() => {{") == 1, path.name
            assert f"return {{ {', '.join(defined)} }};" in answer.text, path.name
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\n\nb(c);\n')
    (tmp_path / "b.js").write_text('import { c } from "./c.js";\nexport function b() { c(); }\n')
    (tmp_path / "c.js").write_text("export const c = 1;\n")
    assert bundle.bundled(tmp_path, "a") == (
        "const $c = (() => {\nconst c = 1;\nreturn { c };\n})();\n\n"
        "const $b = (() => {\nconst { c } = $c;\nfunction b() { c(); }\nreturn { b };\n})();\n\n"
        "const { b } = $b;\n\nb(c);\n"
    )
    (tmp_path / "c.js").write_text('import { b } from "./b.js";\nexport const c = b;\n')
    with pytest.raises(AssertionError, match="imports itself by a detour"):
        bundle.bundled(tmp_path, "a")


def test_a_name_that_is_no_text(page, image_ids):
    elements = page("/?q=grey+black")
    assert "grey.png" in elements.text
    assert "caf\N{REPLACEMENT CHARACTER}/grey.png" in elements.text
    folder = next(a["value"] for a in elements.all("option") if a["value"].startswith("caf"))
    assert folder == safe_text(NOT_UTF8) == "caf\\xe9"
    inside = page(f"/?q=grey&folder={quote(folder)}")
    assert inside.hits == [image_ids["grey"]]
    assert inside.selected == folder


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("q=a&least_score=high", 400, "The least score must be a number, got 'high'"),
        ("q=a&least_score=nan", 400, "The least score must be a number, got 'nan'"),
        ("q=a&image_weight=1e999", 400, "The weight of the image must be a number"),
        ("q=a&after=yesterday", 400, "The first day must be a date such as 2024-12-31"),
        ("q=a&before=9999-12-31", 400, "The last day must be a date"),
        ("q=a&most_kb=1e300", 400, "The greatest size must be at most"),
        ("q=a&least_kb=1e306", 400, "The least size must be at most"),
        ("q=a&least_kb=-1e306", 400, "The least size must be at most"),
        ("q=" + "a" * 2001, 400, "Text may have 2,000 characters, got 2,001"),
        ("image_id=nonsense", 404, "There is no image 'nonsense'"),
        ("q=add+blue&image_id=../../etc/passwd", 404, "There is no image '../../etc/passwd'"),
        (f"image_id={'0' * 8}-0000-0000-0000-{'0' * 12}", 404, "There is no image 0000"),
        ("q=a&offset=99999", 400, "Offset must be from 0 to 10,000"),
        ("q=a&offset=" + "9" * 5000, 400, "Offset must be from 0 to 10,000"),
        ("q=a" + "".join(f"&tag={n}" for n in range(51)), 400, "At most 50 tags"),
    ],
)
def test_refusals(page, query, status, sentence):
    elements = page(f"/?{query}", status)
    assert elements.state == "error"
    assert sentence in elements.text
    assert elements.all("button", **{"data-action": "retry"})
    assert elements.one("input", id="q")["value"] == parse_qs(query).get("q", [""])[0]


def test_uploads_that_are_no_images(found, client, service):
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    refused = found(image=svg, status=415)
    assert refused.state == "error"
    assert "is not supported" in refused.text
    assert "cannot be" in found(image=png(plain("red"))[:60], status=422).text
    large = found(image=b"\x89PNG\r\n\x1a\n" + bytes(service.settings.max_upload_bytes), status=413)
    assert "this server takes at most 20,000,000" in large.text
    misplaced = client.post("/page/search", data={"q": "a"}, files={"file": ("a.png", b"x")})
    assert misplaced.status_code == 400
    assert "must be in the field image" in Elements(misplaced).text


def test_a_body_that_is_no_form(client):
    for path in ("/page/search", "/page/chips"):
        response = client.post(path, json={"q": "red"})
        assert response.status_code == 415
        assert "expected a form" in Elements(response).text.lower()


def test_chips_of_a_sentence(client):
    def chips(text):
        response = client.post("/page/chips", files={"q": (None, text)})
        return response.status_code, Elements(response)

    status, elements = chips("add red and blue without white")
    assert status == 200
    assert elements.chips == [("add", "red"), ("add", "blue"), ("remove", "white")]
    assert not elements.all("section")
    assert chips("as it is")[1].chips == []
    assert chips(f"add {NASTY}")[1].one("ul", id="chips")
    status, elements = chips("x" * 3000)
    assert status == 400
    assert "2,000 characters" in elements.text


def test_indexing_again_without_a_script(tmp_path):
    with gallery_service(tmp_path) as service:
        client = client_of(service)
        form = Elements(client.get("/")).one("form", id="update")
        assert (form["method"], form["action"]) == ("post", "page/index")
        (tmp_path / "images" / "plain" / "red.png").unlink()
        answer = client.post("/page/index")
        assert (answer.status_code, answer.headers["location"]) == (303, "../")
        indexed(service)
        assert "Indexed: 0 new, 0 moved, 1 removed." in Elements(client.get("/")).text
        (tmp_path / "images").rename(tmp_path / "away")
        service.reindexing.start()
        indexed(service)
        assert f"{tmp_path}/images is not a folder of images." in client.get("/").text


def indexed(service):
    """Wait for the end of a run."""
    while service.reindexing.state.running:
        time.sleep(0.01)


def test_the_libraries_are_offered(service, page):
    links = [("mine", "./"), ("my <b>", "libraries/my-b/")]
    shown = Elements(client_of(service, libraries=links).get("/"))
    assert shown.one("nav", class_="libraries")["aria-label"] == "Libraries"
    assert shown.one("a", href="libraries/my-b/") == {"href": "libraries/my-b/"}
    assert shown.one("a", **{"aria-current": "page"})["href"] == "./"
    assert "my <b>" in shown.text
    assert not page("/").all("nav", class_="libraries")


def test_an_empty_index(tmp_path):
    with gallery_service(tmp_path, empty=True) as service:
        client = client_of(service)
        for address in ("/", "/?q=red"):
            elements = Elements(client.get(address))
            assert elements.state == "unindexed"
            assert "python -m cir index FOLDER" in elements.text
            assert "0 images" in elements.text


def test_an_index_of_one_image(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/red.png").write_bytes(png(plain("red")))
    with gallery_service(tmp_path, empty=True) as service:
        (only,) = service.store.images()
        elements = Elements(client_of(service).get(f"/?image_id={only.id}"))
        assert "There is no other image" in elements.text


def test_a_store_that_fails(tmp_path):
    with gallery_service(tmp_path, empty=True) as service:
        client = client_of(service)
        service.store.close()
        for address in ("/?q=red", "/"):
            response = client.get(address)
            assert response.status_code == 503
            assert Elements(response).state == "error"


@pytest.mark.parametrize("look", ["count", "folders", "tags", "images"])
def test_a_store_whose_looks_fail_is_no_fault_of_the_request(tmp_path, look, monkeypatch):
    def fail(*arguments):
        raise UserError("the store fails: it is on fire")

    with gallery_service(tmp_path, empty=look != "tags") as service:
        monkeypatch.setattr(service.store, look, fail)
        response = client_of(service).get("/")
        assert response.status_code == 503
        assert Elements(response).state == "error"
        assert "it is on fire" in Elements(response).text


def test_the_address_of_a_form_reads_back_as_it():
    form = PageForm(
        q="a & b = c? é",
        image_ids=("x", "y"),
        box="0,0,0.5,1",
        like=("l",),
        unlike=("u", "v"),
        edited=True,
        add=("red", "a b"),
        remove=("+",),
        image_weight="0.5",
        least_score="0.2",
        folder="caf\\xe9/ü",
        tags=("one", "two"),
        after="2020-01-01",
        before="2020-02-01",
        least_kb="3",
        most_kb="4.5",
        offset=48,
    )
    query = urlsplit(page_html.address(form.values)).query
    assert PageForm.read(parse_qsl(query)) == form
    assert page_html.address(PageForm().values) == "./"
    assert PageForm.read([]) == PageForm()
    assert form.filters == 6
    search = form.search(7)
    assert (search.where.least_bytes, search.where.most_bytes) == (3000, 4500)
    assert search.where.before - search.where.after == 32 * 86400
    assert search.where.folder == "caf\udce9/ü"
    assert (search.limit, search.offset, search.least_score) == (7, 48, 0.2)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["red", "water-bottle", "ball", ",", "don't"]),
            st.sampled_from(["other", "pos", "neg"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["", " ", "  "]),
)
def test_pieces_say_the_sentence_again(labelled, end):
    sentence = " ".join(word for word, _ in labelled) + end
    words = split_words(sentence)
    labels = [label for _, label in labelled]
    labels = [labels[index % len(labels)] for index in range(len(words))]
    pieces = page_html.pieces(sentence, list(zip(words, labels, strict=True)))
    if not words:
        assert pieces == []
        return
    assert "".join(text for text, _ in pieces) == sentence
    assert all(one[1] != other[1] for one, other in pairwise(pieces))
    for label in ("pos", "neg"):
        inside = [w for text, kind in pieces if kind == label for w in split_words(text)]
        wanted = [w for w, kind in zip(words, labels, strict=True) if kind == label]
        assert inside == wanted


def test_pieces_by_hand():
    words = [("add", "other"), ("a", "other"), ("red", "pos"), ("car", "pos"), (".", "other")]
    assert page_html.pieces("add a red car.", words) == [
        ("add a ", "other"),
        ("red car", "pos"),
        (".", "other"),
    ]
    assert page_html.pieces("add a red car.", []) == []


def test_figures_in_words():
    sizes = [0, 999, 1000, 1240, 9949, 9951, 999_499, 999_500, 2e9, 5e12]
    said = "0 bytes, 999 bytes, 1.0 kB, 1.2 kB, 9.9 kB, 10 kB, 999 kB, 1.0 MB, 2.0 GB, 5000 GB"
    assert [page_html.size(number) for number in sizes] == said.split(", ")
    assert [page_html.milliseconds(s) for s in (0.0004, 0.0051, 0.0123, 2.5)] == (
        ["0.4 ms", "5.1 ms", "12 ms", "2500 ms"]
    )
    assert [page_html.score(s) for s in (0.834, -0.2, 1.0)] == ["0.83", "−0.20", "1.00"]
    assert [page_html.share(s) for s in (0.834, -0.2, 1.00001)] == ["83.4", "0.0", "100.0"]
    assert page_html.date(1e300) == "not known"
    assert page_html.file_name("a/b/c.png") == "c.png"
    assert [PageForm.lowered(best) for best in (0.48, 0.5, 0.04, -0.3)] == (
        ["0.45", "0.5", "0", "0"]
    )
