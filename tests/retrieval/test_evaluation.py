"""A folder of one's own queries, measured: against vectors and ranks worked out one by one."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cir.commands.main import main
from cir.composers.model import EncodedComposer
from cir.core.errors import UserError
from cir.core.metrics_files import Fingerprint
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from cir.edits.reading.templates import Template
from cir.retrieval.evaluation import evaluate
from cir.retrieval.results import Evaluation
from cir.retrieval.retriever import Retriever
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.set_world import OBJECTS, LiteralTagger, SetEncoder, png

IMAGES = {"i0": "ab", "i1": "abc", "i2": "abd", "i3": "bc", "i4": "ce", "i5": "e", "unused": "abc"}
ROWS = [
    ("i0", "add c", "i1"),
    ("i1", "remove a", "i3"),
    ("i0", "please c", "i2"),
    ("i5", "add c", "i4"),
    ("i1", "remove c", "i0"),
    ("i3", " ", "i3"),  # a blank sentence that asks for the reference itself
]
COCO_EDITS = ROOT.parent / "shared" / "data" / "coco_edits"


def write(folder, rows, images=IMAGES):
    (folder / "images").mkdir(parents=True)
    for name, shown in images.items():
        (folder / "images" / f"{name}.png").write_bytes(png(shown))
    lines = [f"{reference}.png,{text},{target}.png" for reference, text, target in rows]
    head = "query_image,query_text,target_image"
    (folder / "data.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder


@pytest.fixture
def retriever():
    return Retriever(EncodedComposer(SetEncoder(), arithmetic()), LiteralTagger(), batch_size=4)


def measured(folder, retriever, **options):
    fingerprints = [Fingerprint(model="encoder", fingerprint="sets")]
    return evaluate(folder, retriever, "models/sets", fingerprints, **options)


def literal_ranks(rows, part, kept):
    """Rank images for each query by comparing scores one by one; a tie goes before the target."""

    def vector(shown):
        return np.array([float(name in shown) for name in OBJECTS])

    gallery = {name for reference, _, target in rows for name in (reference, target)}
    ranks = []
    for reference, text, target in rows:
        if not kept and target == reference:
            continue
        query = np.zeros(5) if part == "edit alone" else vector(IMAGES[reference])
        verb, _, name = text.strip().partition(" ")
        if part != "image alone" and verb:
            query += {"add": 1, "remove": -1}.get(verb, 1) * vector(
                name if verb in ("add", "remove") else "d"
            )
        scores = {
            image: query @ vector(IMAGES[image]) / np.linalg.norm(vector(IMAGES[image]))
            for image in gallery
            if kept or image != reference
        }
        rivals = [image for image in scores if image != target]
        ranks.append(1 + sum(scores[image] >= scores[target] - 1e-9 for image in rivals))
    return np.array(ranks)


def test_every_row_is_that_of_ranking_by_hand(tmp_path, retriever):
    found = measured(write(tmp_path, ROWS), retriever)
    assert (found.queries, found.gallery_size) == (6, 6)
    rows = {row.what: row for row in found.results}
    assert len(rows) == 6
    for what, row in rows.items():
        part, _, removed = what.partition(", ")
        ranks = literal_ranks(ROWS, part, not removed)
        assert (row.queries, row.accuracy) == (len(ranks), pytest.approx((ranks == 1).mean()))
        assert row.recall_at_5 == pytest.approx((ranks <= 5).mean())
        assert row.recall_at_10 == pytest.approx((ranks <= 10).mean())
        assert row.mrr == pytest.approx((1 / ranks).mean())
        assert row.protocol["reference_kept"] is not bool(removed)
        for value, bounds in (
            (row.accuracy, row.interval95),
            (row.recall_at_5, row.recall_at_5_interval95),
            (row.recall_at_10, row.recall_at_10_interval95),
            (row.mrr, row.mrr_interval95),
        ):
            assert bounds[0] <= value <= bounds[1]
    queries = {what: row.protocol["query"] for what, row in rows.items()}
    assert queries["image and edit"] == queries["image and edit, reference removed"]
    assert [queries[part] for part in ("edit alone", "image alone")] == ["edit", "image"]


def test_targets_that_lie_there_twice_are_told(tmp_path, retriever, capsys):
    images = {**IMAGES, "copy": IMAGES["i1"]}
    measured(write(tmp_path / "once", ROWS, images), retriever)
    assert "second name" not in capsys.readouterr().err
    rows = [*ROWS, ("copy", "remove a", "i3")]
    measured(write(tmp_path / "twice", rows, images), retriever)
    assert "the target of 1 queries of" in capsys.readouterr().err


def test_the_top_of_the_file_is_the_first_three_rows(tmp_path, retriever):
    found = measured(write(tmp_path / "data", ROWS), retriever)
    found.write(tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    keys = ("accuracy", "recall@5", "recall@10", "mrr", "recall@5_interval95", "mrr_interval95")
    for place, row in zip(
        (content, content["edit_alone"], content["image_alone"]), content["results"], strict=False
    ):
        assert {key: place[key] for key in keys} == {key: row[key] for key in keys}
    assert content["composition_gap"] == content["composition"][0]["gap"]
    assert (content["model"], content["queries"], content["gallery_size"]) == ("models/sets", 6, 6)
    assert content["fingerprints"] == [{"model": "encoder", "fingerprint": "sets"}]
    assert Evaluation.read(tmp_path / "out.json") == found


def test_composition_and_kinds_are_those_of_the_ranks(tmp_path, retriever):
    found = measured(write(tmp_path, ROWS), retriever)
    kinds = np.array(["+1 -0", "+0 -1", "+1 -0", "+1 -0", "+0 -1", "+0 -0"])
    parts = ("image and edit", "edit alone", "image alone")
    for row in found.composition:
        chosen = np.array([row.reference_kept or r != t for r, _, t in ROWS])
        ranks = [literal_ranks(ROWS, part, row.reference_kept) for part in parts]
        own = kinds[chosen] == row.kind if row.kind else np.ones(chosen.sum(), bool)
        both, edit, image = (of[own] <= row.k for of in ranks)
        assert row.queries == own.sum()
        assert (row.solved, row.edit_shortcuts) == pytest.approx((both.mean(), edit.mean()))
        assert row.image_shortcuts == pytest.approx(image.mean())
        assert row.gap == pytest.approx((both & ~edit & ~image).mean())
    assert len(found.composition) == 2 + 2 + 2 * 3 + 2 * 2  # the blank one is never removed
    for row in found.by_kind:
        chosen = np.array([row.reference_kept or r != t for r, _, t in ROWS])
        ranks = literal_ranks(ROWS, row.what, row.reference_kept)[kinds[chosen] == row.kind]
        assert (row.queries, row.accuracy) == (len(ranks), pytest.approx((ranks == 1).mean()))
    assert len(found.by_kind) == 3 * (3 + 2)


def test_blank_sentences_are_empty_edits_and_are_named(tmp_path, retriever):
    found = measured(write(tmp_path, ROWS), retriever)
    (empty,) = found.empty_edits
    assert (empty.name, empty.why) == ("row-00007", "no object in ''")


def test_images_that_cannot_be_read_are_named_and_their_queries_left_out(tmp_path, retriever):
    folder = write(tmp_path, ROWS)
    (folder / "images" / "i2.png").write_bytes(b"no picture")
    (folder / "images" / "i5.png").write_bytes(b"")
    found = measured(folder, retriever)
    assert sorted(problem.name for problem in found.unreadable) == ["i2.png", "i5.png"]
    assert any("i5.png is empty" in problem.why for problem in found.unreadable)
    assert found.left_out == ["row-00004", "row-00005"]
    assert (found.queries, found.gallery_size) == (4, 4)
    left_out = "2 of 6 queries and 2 of 6 gallery images"
    assert {row.protocol["left_out"] for row in found.results} == {left_out}
    for path in (folder / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 6 queries can be asked, because 6 of 6 images"):
        measured(folder, retriever)


def test_one_file_under_two_names_is_one_image(tmp_path, retriever):
    folder = write(tmp_path, ROWS[:2])
    other = measured(folder, retriever)
    text = (folder / "data.csv").read_text().replace("i1.png,remove", "./i1.png,remove")
    (folder / "data.csv").write_text(text)
    again = measured(folder, retriever)
    assert again.gallery_size == other.gallery_size == 3
    assert again.results == other.results


def test_images_and_names_are_encoded_once(tmp_path, retriever):
    seen = SimpleNamespace(images=0, names=[])
    encoder = retriever.encoder
    encode_images, encode_names = encoder.encode_images, encoder.encode_names

    def counting_images(pixels):
        seen.images += len(pixels)
        return encode_images(pixels)

    def counting_names(names):
        seen.names += names
        return encode_names(names)

    encoder.encode_images, encoder.encode_names = counting_images, counting_names
    measured(write(tmp_path, ROWS), retriever)
    assert seen.images == 6
    assert sorted(seen.names) == ["a", "c", "d"]


def test_paraphrases_are_asked_with_the_tagged_objects(tmp_path, retriever):
    templates = [Template("add <positive_object>", ""), Template("remove <negative_object>", "")]
    found = measured(write(tmp_path, ROWS), retriever, templates=templates, least=1)
    everything = found.paraphrases[0]
    # The sentences are read as before, but the blank one has no edit to ask for.
    ranks = literal_ranks(ROWS[:5], "image and edit", True)
    assert (everything.queries, everything.spread) == (5, 0.0)
    assert everything.mean == everything.as_written == pytest.approx((ranks == 1).mean())
    assert "that the tagger reads" in everything.protocol["sentences"]
    assert [row.what for row in found.paraphrases] == ["all queries", "+0 -1", "+1 -0"]
    found = measured(tmp_path, retriever, templates=templates, least=9)
    assert [row.what for row in found.absent] == ["paraphrases"]


def test_every_target_its_own_reference(tmp_path, retriever):
    found = measured(write(tmp_path, [("i0", "", "i0"), ("i1", "add e", "i1")]), retriever)
    assert len(found.results) == 3
    assert [row.what for row in found.absent] == ["reference removed"]
    assert found.image_alone.accuracy == 1.0


# ---- the command


@pytest.fixture(scope="module")
def models(tmp_path_factory, encoder):
    folder = tmp_path_factory.mktemp("models")
    (folder / "encoder").mkdir()
    EncodedComposer(encoder, arithmetic()).save(folder / "encoder")
    size = FromScratch(layers=1, width=32, heads=2, hidden=64, dropout=0.0, longest=32)
    for part in fresh_model(size, ["replace", "the", "with", "a"], seed=0):
        part.save_pretrained(folder / "tagger")
    return folder


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.jpg")
    rows = [f"{n}.jpg,replace the hat with a cat,{(n + 1) % 6}.jpg" for n in range(6)]
    head = "query_image,query_text,target_image"
    (tmp_path / "photos" / "data.csv").write_text("\n".join([head, *rows]) + "\n")
    return tmp_path / "photos"


def run(capsys, *words):
    status = main(["evaluate", *map(str, words)])
    return status, *capsys.readouterr()


def test_a_folder_is_measured_from_the_command_line(photos, models, tmp_path, capsys):
    templates = tmp_path / "templates.json"
    forms = [
        "<positive_object> for <negative_object>",
        "add <positive_object>",
        "no <negative_object>",
    ]
    test = [{"template": form, "style": "plain"} for form in forms]
    templates.write_text(json.dumps({"train": [], "validation": [], "test": test}))
    out = tmp_path / "out.json"
    options = ("--models", models, "--out", out, "--paraphrases", "1", "--templates", templates)
    status, printed, _ = run(capsys, photos, *options)
    assert status == 0
    found = Evaluation.read(out)
    assert (found.queries, found.gallery_size) == (6, 6)
    assert {one.model for one in found.fingerprints} == {"encoder", "tagger"}
    lines = printed.splitlines()
    assert lines[0].startswith(f"{models / 'encoder'}: 6 queries in a gallery of 6 images")
    for row in found.results:
        (line,) = [line for line in lines if line.startswith(f"{row.what}  ")]
        assert f"{row.accuracy:.1%} ({row.interval95[0]:.1%} to {row.interval95[1]:.1%})" in line
    (line,) = [line for line in lines if line.startswith("at first place  ")]
    assert f"{found.composition_gap:.1%} (" in line
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "data.csv").unlink(), "has no queries: expected a file data.csv"),
        (lambda folder: (folder / "3.jpg").unlink(), "1 of 6 images are not in"),
        (lambda folder: (folder / "data.csv").write_text("a,b\n"), "has no column query_image"),
    ],
)
def test_a_folder_that_cannot_be_measured_is_told_of(photos, models, capsys, change, sentence):
    change(photos)
    status, printed, err = run(capsys, photos, "--models", models)
    assert (status, printed) == (1, "")
    assert sentence in err
    assert err.startswith("error: ")


def test_a_missing_model_or_file_of_templates_is_told_of(photos, models, tmp_path, capsys):
    status, _, err = run(capsys, photos, "--models", models, "--model", "vit-b-32")
    assert status == 1
    assert "cir models get vit-b-32" in err
    status, _, err = run(capsys, photos, "--models", tmp_path)
    assert status == 1
    assert "there is no model in" in err
    options = ("--paraphrases", "--templates", tmp_path / "none.json")
    status, _, err = run(capsys, photos, "--models", models, *options)
    assert status == 1
    assert "make them with dvc repro expand_templates" in err


def test_what_is_left_out_is_counted_and_named_on_the_screen(photos, models, capsys):
    (photos / "2.jpg").write_bytes(b"no picture")
    rows = (photos / "data.csv").read_text().splitlines()
    rows[1] = "0.jpg,,1.jpg"
    (photos / "data.csv").write_text("\n".join(rows))
    status, printed, _ = run(capsys, photos, "--models", models)
    assert status == 0
    first, unreadable, *_ = printed.splitlines()
    assert first.endswith("4 queries in a gallery of 5 images, all that the queries name")
    assert "cannot be read: 1; queries that need them, left out: 2; image 2.jpg has" in unreadable
    assert re.search(r"no object in the sentence: \d \(row-00002", printed)


def test_a_model_without_a_composer_is_told_of(photos, models, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    status, _, err = run(capsys, photos, "--models", models, "--model", tmp_path / "bare")
    assert status == 1
    assert "bare has no composer.json, so it answers no composed queries" in err


def test_a_file_that_cannot_be_written_is_told_of_before_the_work(photos, models, capsys):
    for out in (photos, photos / "0.jpg" / "out.json"):
        status, printed, err = run(capsys, photos, "--models", models, "--out", out)
        assert (status, printed) == (1, "")
        assert err == f"error: --out: {out} cannot be written; expected the path of a file\n"


def test_the_real_photos(models, tmp_path, capsys):
    if not COCO_EDITS.is_dir():
        pytest.skip(f"there are no photos in {COCO_EDITS}")
    out = tmp_path / "out.json"
    assert run(capsys, COCO_EDITS, "--models", models, "--out", out)[0] == 0
    found = Evaluation.read(out)
    assert (found.queries, found.gallery_size, found.unreadable) == (1001, 223, [])
    assert sum(row.queries for row in found.composition if row.kind and row.k == 1) == 2 * 1001
    reference = next(row for row in found.near_misses if row.what == "the reference")
    assert reference.queries == 1001
