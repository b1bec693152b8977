"""The report: what it says of results made by hand, which queries it shows, and that it escapes."""

import base64
import io
import json
import math
import re
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cir.classes.scoring.results import ClassProtocol, Graph, Result
from cir.core.errors import UserError
from cir.images.shards import ImageShards
from cir.report import build_gallery, classes, figures, read_answers, wording
from cir.report.gallery import Answer, choose, data_uri
from cir.retrieval.results import Metrics as Retrieval
from stages import report
from tests.helpers.report_page import Page, change, make_page
from tests.helpers.report_project import (
    CLASS_FILES,
    CLASS_PROTOCOL,
    NASTY,
    answer,
    by_input,
    class_result,
    default_answers,
    retrieval,
    write_results,
)


def set_up(folder, split):
    """Make `folder` as the stage finds it, with the split's images."""
    write_results(folder)
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
    folder = tmp_path_factory.mktemp("unchanged")
    set_up(folder, split)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return make_page()


@pytest.mark.parametrize(
    "said",
    [
        "91.7% accuracy 95% interval 75.0% to 99.0%",
        "24 queries, each a reference image with an edit, were ranked by cosine against one "
        "gallery of 72 images",
        "A query counts as right if the target comes first.",
        "An image with the same score as the target is ranked before it.",
        "recall@5 90.0%",
        "mean reciprocal rank 0.812",
        "accuracy, novel names 50.0%",
        "tagger, exact edits (both unseen) 87.5%",
        "True edits: not measured, because the source gives sentences alone.",
        "targets and references only 93.8%",
        "image only, reference removed 12.3%",
        "composition gap 56.8%",
        "at first place 91.7% 31.2% 4.2% 56.8% 43.2% to 70.1%",
        "among the first 10, reference removed 91.7% 31.2% 4.2% 13.6%",
        "near misses 15.4% 8.1% to 25.4% 20 80 0.275",
        "held-out templates with the true objects. The mean is over queries and ways",
        "Left out: 1 of 24 queries, <so> and so.",
        "all queries 87.6% 76.5% to 95.4% 65.4% 95.8% 30.4% 12.1% 62.5% 91.7% 24 6",
        "+1 −1 adds 1, removes 1 82.3%",
        "[object to remove] out +1 −1 65.4% Add a [object to add] & go. +1 −1 95.8%",
        "+2 −0 adds 2 66.7% 2 of 3",
        "2 of 24 queries did not find their target first.",
        "own near miss 2",
        "removed 0 0 477",
        "polite rambling",
        "image half 43.2%",
        "shy-owl <i>none</i>, really 90.3% 98.0% 1,234,567 –",
        "The encoder of step 9 was kept. It has 94.0% accuracy",
        "encoder 0123456789abcdef , class embedder fedcba9876543210 .",
        "1,500 queries, each an image that is not in the gallery, were ranked by cosine against "
        "one gallery of 3,000 held-out images. A hit is any image of the query's class; ties count "
        "against the hits. Training saw no image of these classes. Left out as unusable in the "
        "source: 3 unreadable.",
        "plain the result the embedder's vectors as they are 94.1% 91.0% to 96.5% "
        "97.5% 98.8% 81.6% 79.0% to 83.8% 69.1%",
        "flip-averaged refinement means of the vectors of an image and of its mirror image 95.3%",
        "colour histograms baseline colour histograms, without training 32.5%",
        "re-ranked, joint refinement k-reciprocal re-ranking with k1 20, k2 6, weight 0.3; joint "
        "query-gallery graph: answers depend on the other queries 96.9%",
        "re-ranked, alone refinement k-reciprocal re-ranking with k1 20, k2 6, weight 0.3; "
        "gallery-only graph: answers do not depend on the other queries 95.7%",
        "The 10 lowest by mAP of 12 classes, in the plain ranking.",
        "<b>red</b> & blue 40.0% 30.0% 50.0% 125 250",
        "The class-level embedder of step 600 was kept. It has 87.6% mAP on validation; 663,249 "
        "weights were trained. The exponent of its GeM pooling is 3.290.",
    ],
)
def test_the_page_says(html, said):
    assert said in Page(html).text


def test_the_hardest_split_of_the_tagger_comes_first(html):
    text = Page(html).text
    rows = [
        text.index(f"{name} {share}")
        for name, share in (
            ("both unseen", "87.5% 97.4% 120"),
            ("templates and objects of training", "96.2% 97.4% 120"),
        )
    ]
    assert rows == sorted(rows)


def test_every_section_is_linked_and_named(html):
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id stands twice"
    linked = {a["href"][1:] for a in page.all("a")}
    assert linked == {section["id"] for section in page.all("section")}
    named = {section["aria-labelledby"] for section in page.all("section")}
    named |= {card["aria-labelledby"] for card in page.all("article")}
    assert named <= set(ids)
    assert all(svg.get("role") == "img" or svg.get("aria-hidden") for svg in page.all("svg"))


def test_the_best_experiment_is_marked(html):
    best = re.findall(r'<strong class="best">(.*?)</strong>', html)
    assert best == ["99.0%", "90.3%"]  # of the shares alone: fewest or most weights, who knows


def test_the_same_results_give_the_same_bytes(project, html):
    assert make_page() == html
    assert not re.search(r"20\d\d-\d\d-\d\d", html), "a date would differ tomorrow"
    change("metrics/retrieval.json", accuracy=0.5)
    assert make_page() != html


def test_nothing_is_fetched(html):
    page = Page(html)
    fetched = [
        a[key] for _, a in page.elements for key in ("src", "href", "xlink:href") if key in a
    ]
    assert fetched
    assert all(address.startswith(("#", "data:")) for address in fetched)
    assert page.all("meta")[2]["content"].startswith("default-src 'none'; img-src data:;")


def test_names_and_sentences_are_escaped(html):
    page = Page(html)
    assert len(page.all("script")) == 1
    assert page.all("b") == page.all("i") == []
    assert [image["src"].split(",")[0] for image in page.all("img")] == ["data:image/jpeg;base64"]
    assert NASTY in "".join(page.texts)
    assert not any("onerror" in attributes for _, attributes in page.elements)


def test_words_are_marked_as_the_tagger_read_them(html):
    assert "Replace the <del>blue car0</del> with a <ins>red mug</ins>.</h3>" in html


def test_each_image_is_in_the_page_once(html):
    page = Page(html)
    stored = [image["href"] for image in page.all("image")]
    assert len(stored) == len(set(stored)) <= 72
    known = {"#" + image["id"] for image in page.all("image")}
    used = {use["href"] for use in page.all("use") if "href" in use}
    assert {address for address in used if address.startswith("#i")} == known


@pytest.fixture(scope="module")
def fewer(split, tmp_path_factory):
    """The page of four queries, where every edit was asked in other words."""
    folder = tmp_path_factory.mktemp("fewer")
    set_up(folder, split)
    (folder / "params.yaml").write_text("report: {queries: 4, thumbnail: 48}\n")
    rewrite(
        folder / "metrics/retrieval.json",
        lambda content: [row["protocol"].pop("left_out") for row in content["paraphrases"]],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return make_page()


def test_where_every_edit_was_asked_in_other_words_nothing_is_left_out(fewer):
    assert "asked in its worst or best way. edits mean" in Page(fewer).text


def test_a_query_costs_little(fewer, html):
    few = len(fewer)
    assert (len(html) - few) / 20 < 12_000
    assert few < 275_000  # a dozen plots among them, of some 15 kB each


def test_what_the_source_cannot_tell_is_said(project):
    write_results(project, [answer(number) for number in range(4)])
    change(
        "metrics/retrieval.json",
        results=retrieval()["results"][:1],
        by_objects=[],
        absent=[{"what": "novel names", "why": "no query has any"}],
    )
    Path("metrics/experiments.csv").unlink()
    change("metrics/composers.json", composers=[])
    change("metrics/class_embedder.json", class_gem_exponent=None)
    Path("metrics/ablation.csv").write_text("variant,accuracy\n")
    Path("metrics/curves/recall_at_k.csv").write_text("k,recall\n1,0.9167\n")
    Path("metrics/curves/pretrain.csv").write_text("step,learning_rate,loss,naming,score\n")
    text = Page(make_page()).text
    for sentence in (
        "Novel names: not measured, because no query has any.",
        "No query failed: the target came first for all 4.",
        "All names in these queries were seen in training",
        "The data source does not give the number of objects of an edit.",
        "No composers were compared.",
        "No other variant was measured.",
        "Nothing was measured in this training.",
        "No experiments have been kept yet.",
        "663,249 weights were trained. The tagger",
    ):
        assert sentence in text
    assert "accuracy, novel names" not in text
    assert "GeM pooling" not in text  # of another pooling


def test_the_plain_ranking_stands_first_and_alone_is_marked(html):
    (section,) = re.findall(r'<section id="classes".*?</section>', html, re.DOTALL)
    rows = re.findall(r'<tr( class="first")?><th scope="row">(.*?)</th><td>([^<]+)', section)
    assert [(bool(first), what, kind) for first, what, kind in rows] == [
        (True, "plain", "the result"),
        (False, "flip-averaged", "refinement"),
        (False, "colour histograms", "baseline"),
        (False, "re-ranked, joint", "refinement"),
        (False, "re-ranked, alone", "refinement"),
    ]


def test_the_ways_to_rank_are_drawn_without_baselines(html):
    labels = [svg.get("aria-label", "") for svg in Page(html).all("svg")]
    assert (
        "Recall@1 of the ways to rank, without the baselines: plain 94.1%, "
        "flip-averaged 95.3%, re-ranked, joint 96.9%, re-ranked, alone 95.7%"
    ) in labels
    assert (
        "mAP of the ways to rank, without the baselines: plain 81.6%, "
        "flip-averaged 82.8%, re-ranked, joint 84.4%, re-ranked, alone 83.2%"
    ) in labels


def test_the_curve_of_the_class_embedder_marks_the_kept_step(html):
    label = (
        "The class-level embedder: score by step of training, at the end mAP 0.854, recall@1 0.94"
    )
    (plot,) = re.findall(rf'<svg role="img" aria-label="{re.escape(label)}".*?</svg>', html, re.S)
    assert ">kept</text>" in plot
    assert "300 0.001 39.2 39.2 0.7654 0.8" in Page(html).text


def test_ten_classes_are_listed_the_worst_first(html):
    (table,) = re.findall(r'aria-label="Table of the hardest classes".*?</table>', html, re.S)
    named = re.findall(r'<th scope="row">(.*?)</th>', table)
    assert named == ["&lt;b&gt;red&lt;/b&gt; &amp; blue", *(f"class {n}" for n in range(2, 11))]


def test_the_sheet_is_in_the_page_as_it_lies_there(project, html):
    """The project's is the same one that the page was made with."""
    (image,) = Page(html).all("img")
    content = base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,"))
    assert content == Path("metrics/pictures/class_retrieval.jpg").read_bytes()
    assert (image["width"], image["height"]) == ("60", "40")
    assert "framed in green, others in red" in image["alt"]


@pytest.fixture(scope="module")
def less(split, tmp_path_factory):
    """The page of an older run, of sentences alone: no classes, no composition, no queries."""
    folder = tmp_path_factory.mktemp("less")
    set_up(folder, split)
    for name in CLASS_FILES:
        (folder / "metrics" / name).unlink()
    rewrite(folder / "metrics/retrieval.json", lambda content: [content.pop(k) for k in by_input()])
    (folder / "params.yaml").write_text("report: {queries: 0, thumbnail: 48}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Page(make_page())


def rewrite(path, how):
    """Change what a file holds, by a function of it."""
    content = json.loads(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def test_without_class_metrics_nothing_is_said_of_them(less, html):
    assert "class-level" not in less.text.lower()
    assert less.all("img") == []
    gone = ("classes", "composition")
    ids = [section["id"] for section in less.all("section")]
    assert ids == [one["id"] for one in Page(html).all("section") if one["id"] not in gone]
    links = [link["href"][1:] for link in less.all("a")]
    assert links == [a["href"][1:] for a in Page(html).all("a") if a["href"][1:] not in gone]


def test_an_older_file_has_no_section_on_composition(less, html):
    assert "composition gap" in Page(html).text
    assert "composition gap" not in less.text
    assert "#composition" not in {link.get("href") for link in less.all("a")}


def test_no_queries_to_show(less):
    assert "There are no queries to show." in less.text
    assert less.all("article") == less.all("image") == []


@pytest.mark.parametrize("name", CLASS_FILES)
def test_a_class_metrics_file_that_is_missing_beside_others_is_named(project, name):
    Path("metrics", name).unlink()
    with pytest.raises(UserError, match=re.escape(f"metrics/{name} does not exist")):
        report.main()


def test_all_that_a_class_protocol_can_say_has_words():
    fields = ClassProtocol.model_fields
    vectors = set(typing.get_args(fields["vectors"].annotation))
    assert vectors - {"embedder"} == classes.BASELINES.keys() | classes.VECTORS.keys()
    assert set(typing.get_args(fields["classes"].annotation)) == classes.SEEN.keys()
    assert set(typing.get_args(Graph)) == classes.GRAPHS.keys()
    assert fields["query"].default in classes.QUERIES


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": "trained on"}, "Training saw other images of these classes."),
        ({"classes": "some trained on"}, "Training saw other images of some of these classes."),
        ({"gallery": "training images"}, "against one gallery of 3,000 training images."),
        ({"ties": "for the hits"}, "ties count for the hits."),
        ({"left_out": None}, None),
    ],
)
def test_the_class_protocol_in_words(changes, said):
    result = Result.model_validate(class_result("plain", 0.9, **changes))
    words = classes.protocol(result)
    assert "Left out" not in words if said is None else said in words
    assert CLASS_PROTOCOL["similarity"] in words


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda: Path("metrics/tagger.json").unlink(), "metrics/tagger.json does not exist"),
        (lambda: change("metrics/retrieval.json", by_kind={"+1 -1": 1}), "(by_kind: input should"),
        (lambda: change("metrics/composers.json", composers=[{}]), "(composers.0.composer: field"),
        (lambda: Path("metrics/ablation.csv").write_text("a,b\n1,2\n"), "lacks the column variant"),
        (
            lambda: change("metrics/class_retrieval.json", results=[]),
            "class_retrieval.json does not have the form that its stage writes (results:",
        ),
        (
            lambda: change("metrics/class_retrieval.json", results=[{"what": "plain"}]),
            "(results.0.recall@1: field required)",
        ),
        (
            lambda: Path("metrics/curves/class_embedder.csv").write_text("step,loss\n1,2\n"),
            "class_embedder.csv lacks the column map",
        ),
        (
            lambda: Path("metrics/pictures/class_retrieval.jpg").write_bytes(b"\xff\xd8\xff"),
            "class_retrieval.jpg is not a JPEG picture that can be read",
        ),
        (lambda: Path("metrics/curves/pretrain.csv").unlink(), "pretrain.csv does not exist"),
        (lambda: Path("metrics/curves/tagger.csv").write_text(""), "is not a table"),
        (lambda: Path("data/answers.parquet").unlink(), "answers.parquet does not exist"),
        (lambda: Path("data/answers.parquet").write_text("x"), "is not a Parquet file"),
        (
            lambda: pd.DataFrame([{"query": "q"}]).to_parquet("data/answers.parquet"),
            "data/answers.parquet lacks the columns answers, kind",
        ),
        (
            lambda: write_results(".", [answer(1, labels=["pos"])]),
            "query q1 has 1 labels for 9 words",
        ),
        (
            lambda: write_results(".", [answer(1, answers=["nowhere"], scores=[1.0])]),
            "1 images that data/retrieval/test does not hold, such as nowhere",
        ),
    ],
)
def test_a_broken_input_is_named(project, break_it, sentence):
    break_it()
    with pytest.raises(UserError, match=re.escape(sentence)):
        report.main()
    assert not Path("report/index.html").exists()


def answers_with(ranks, kinds):
    rows = [
        answer(n, rank=r) | {"kind": k} for n, (r, k) in enumerate(zip(ranks, kinds, strict=True))
    ]
    return [Answer(**row) for row in rows]


def test_failures_come_first_and_kinds_take_turns():
    ranks = [1, 1, 1, 2, 1, 9, 1, 4]
    answers = answers_with(ranks, ["+1 -0"] * 5 + ["+0 -1"] * 3)
    shown = [int(a.query[1:]) for a in choose(answers, 6)]
    assert shown == [5, 7, 3, 6, 0, 1]
    assert len(choose(answers, 99)) == 8
    assert choose(answers, 0) == []


def test_too_many_failures_are_spread_over_the_kinds_too():
    answers = answers_with([9, 8, 7, 2, 1], ["+1 -0"] * 3 + ["+0 -1"] * 2)
    assert [a.rank for a in choose(answers, 2)] == [9, 2]


def test_sentences_in_pieces_keep_every_letter(project):
    for one in read_answers(Path("data/answers.parquet")):
        assert "".join(text for text, _ in one.pieces()) == one.sentence
    one = Answer(**answer(0, sentence="Red mug,  red mug in; blue car0 out"))
    assert one.pieces()[:2] == [("Red", "other"), (" ", "other")]


def test_thumbnails_shrink_and_never_grow(split):
    large = Image.fromarray(np.zeros((300, 200, 3), np.uint8))
    assert size_of(data_uri(large, 60)) == (40, 60)
    assert size_of(data_uri(large, 999)) == (200, 300)
    answers = [Answer(**row) for row in default_answers()]
    gallery = build_gallery(answers, ImageShards(split), 3, 16)
    assert {size_of(uri) for uri in gallery.images.values()} == {(16, 16)}
    assert (len(gallery.shown), gallery.total, gallery.failures) == (3, 24, 2)


def size_of(uri):
    kind, data = uri.split(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).size


@pytest.mark.parametrize(("right", "queries"), [(0, 7), (7, 7), (1, 2), (166, 171), (1191, 1200)])
def test_the_interval_is_wilsons(right, queries):
    """At its bounds the share that was found is 1.96 standard errors away."""
    low, high = wording.wilson_interval(right, queries)
    assert 0 <= low <= right / queries <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:  # else it is where shares end
            error = math.sqrt(bound * (1 - bound) / queries)
            assert abs(bound - right / queries) == pytest.approx(1.959963984540054 * error)


def test_the_interval_by_hand():
    # Of 10 right ones of 20: 1/2 ± 1.96·√(1/4/20 + 1.96²/(4·20²)) / (1 + 1.96²/20).
    low, high = wording.wilson_interval(10, 20)
    assert (round(low, 4), round(high, 4)) == (0.2993, 0.7007)


def test_plots_take_the_colours_of_the_page():
    plot = figures.line_plot({"a": ([1, 2], [0.1, 0.2])}, "k", "recall", 'a "quoted" < label')
    assert "currentColor" in plot
    assert "var(--series-1)" in plot
    assert set(re.findall(r"#[0-9a-f]{6}\b", plot)) == set()
    assert Page(plot).all("svg")[0]["aria-label"] == 'a "quoted" < label'
    assert "<text" in plot


def test_the_protocol_of_another_ranking_in_words():
    said = wording.protocol(Retrieval.model_validate(retrieval()).results[2])
    assert "48 images (the targets and references of all queries, nothing else)" in said
