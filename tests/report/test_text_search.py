"""The report on search by words: before and after, by kind, and the encoders compared."""

import base64
import re
from pathlib import Path

import pytest

from cir.core.errors import UserError
from cir.report import read_text_results, wording
from cir.report import text_search as words
from cir.text_search.scoring.results import AS_WRITTEN, TextProtocol
from stages import report
from tests.helpers.report_page import Page, change, make_page
from tests.helpers.report_project import (
    TEXT_FILES,
    encoder_row,
    text_search,
    write_results,
    write_text_results,
)


def set_up(folder, split):
    write_results(folder)
    write_text_results(folder)
    (folder / "data/retrieval").mkdir()
    (folder / "data/retrieval/test").symlink_to(split)


@pytest.fixture
def project(split, tmp_path, monkeypatch):
    set_up(tmp_path, split)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def html(split, tmp_path_factory):
    """The page of the results as they were made."""
    folder = tmp_path_factory.mktemp("words")
    set_up(folder, split)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return make_page()


@pytest.mark.parametrize(
    "said",
    [
        "300 queries were ranked by cosine against one gallery of 1,234 images, every image of "
        "the split. nDCG uses the grades of the answers (gain: the grade, over log2(1 + rank)); "
        "for the other figures, an image of grade 3 or more is relevant. Ties count against the "
        "answers: the lower grade first.",
        "before the query as it is written 61.2% 56.2% to 65.2% 0.750 50.0% 25.0% 25.0%",
        "before, in the prompt the query within “a photo of a {}” 71.2%",
        "after the query as it is written 91.2%",
        "kind of query queries before before, in the prompt after 95% interval, after",
        "one object 100 65.2% 75.2% 95.2% 90.2% to 99.2%",
        "<b>colours</b> of a pair 200 57.2% 67.2% 87.2% 82.2% to 91.2%",
        "on the same 300 queries and 1,234 images (processor, 2 threads).",
        "ours the query as it is written; 64×48 pixels, 256 dimensions 86.4% 81.0% to 89.0% 31.4% "
        "0.876 2,346 2,111 23,456 765 (593) 1,234 7,550,673",
        "blip <i>large</i> cosine, the first 16 then by matching; 64×48 pixels, 256 dimensions "
        "95.3% 81.0% to 89.0% 31.4% 0.876 3.2 2.9 32 765 (593) – 7,550,673",
        'far away: not measured. Cannot load encoder "hf-hub:a/b": <offline>',
        "class embedder fedcba9876543210 , text search, after 00112233aabbccdd .",
    ],
)
def test_the_page_says(html, said):
    assert said in Page(html).text


def test_the_section_is_linked_and_named(html):
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id stands twice"
    assert "#words" in {link["href"] for link in page.all("a")}
    (section,) = [one for one in page.all("section") if one["id"] == "words"]
    assert section["aria-labelledby"] in ids


def test_the_last_row_is_marked_alone(html):
    section = section_of(html)
    rows = re.findall(r'<tr( class="first")?><th scope="row">([a-z, ]+)</th><td>', section)
    assert [(bool(first), what) for first, what in rows] == [
        (False, "before"),
        (False, "before, in the prompt"),
        (True, "after"),
    ]


def section_of(html):
    (section,) = re.findall(r'<section id="words".*?</section>', html, re.DOTALL)
    return section


def test_systems_and_kinds_are_drawn(html):
    labels = [svg.get("aria-label", "") for svg in Page(html).all("svg")]
    assert (
        "nDCG@10 of the systems: before 61.2%, before, in the prompt 71.2%, after 91.2%" in labels
    )
    assert (
        "nDCG@10 of the kinds of query, after: one object 95.2%, <b>colours</b> of a pair 87.2%"
        in labels
    )


def test_names_are_escaped_and_nothing_is_fetched(html):
    page = Page(html)
    assert page.all("b") == page.all("i") == []
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))


def test_the_sheet_is_in_the_page_as_it_lies_there(project, html):
    images = Page(section_of(html)).all("img")
    assert [(image["width"], image["height"]) for image in images] == [("90", "30")]
    content = base64.b64decode(images[0]["src"].removeprefix("data:image/jpeg;base64,"))
    assert content == Path("metrics/pictures/text_search.jpg").read_bytes()


def test_without_metrics_nothing_is_said(project, html):
    for name in TEXT_FILES:
        Path("metrics", name).unlink()
    page = Page(make_page())
    assert "nDCG" not in page.text
    assert "#words" not in {link["href"] for link in page.all("a")}
    whole = [one["id"] for one in Page(html).all("section")]
    assert [one["id"] for one in page.all("section")] == [one for one in whole if one != "words"]


def test_a_system_that_lacks_a_kind_and_encoders_without_gpu_or_failure(project):
    results = text_search()["results"]
    del results[0]["by_kind"][0]
    change("metrics/text_search.json", results=results)
    change("metrics/encoders.json", encoders=[encoder_row("a", 9.0)], failures=[])
    text = Page(section_of(make_page())).text
    assert "one object 100 – 75.2% 95.2%" in text
    assert "memory, MB weights" in text
    assert "not measured" not in text


def test_encoders_need_not_be_compared(project):
    files = [Path("metrics", name) for name in TEXT_FILES]
    assert words.section(read_text_results(*files))["encoders"]["gpu"]
    files[-1].unlink()
    assert words.section(read_text_results(*files))["encoders"] is None


@pytest.mark.parametrize("name", TEXT_FILES[:2])
def test_a_file_that_is_missing_beside_others_is_named(project, name):
    Path("metrics", name).unlink()
    with pytest.raises(UserError, match=re.escape(f"metrics/{name} does not exist")):
        report.main()


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        ("text_search", {"results": []}, "(results: list should have at least 1"),
        ("text_search", {"results": [{"what": "x"}]}, "(results.0.p@1: field required)"),
        ("encoders", {"encoders": []}, "(encoders: list should have at least 1"),
        ("encoders", {"failures": [{"name": "x"}]}, "(failures.0.reason: field required)"),
    ],
)
def test_a_broken_file_is_named(project, file, changes, sentence):
    change(f"metrics/{file}.json", **changes)
    with pytest.raises(UserError, match=re.escape(f"{file}.json does not have the form")) as caught:
        report.main()
    assert sentence in str(caught.value)
    assert not Path("report/index.html").exists()


def test_a_plain_ranking_is_by_cosine():
    assert TextProtocol(text=AS_WRITTEN, least_grade=3).ranking == words.COSINE


@pytest.mark.parametrize(
    ("rate", "said"), [(12345.6, "12,346"), (10, "10"), (9.87, "9.9"), (0.0123, "0.012")]
)
def test_slow_rates_keep_two_figures(rate, said):
    assert wording.rate(rate) == said
