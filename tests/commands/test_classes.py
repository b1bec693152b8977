"""Rank folders of images and check files of rankings with cir classes."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from cir.classes import rank_folders
from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.scoring import ranking_file as class_submission
from cir.commands import classes as class_commands
from cir.commands.main import main
from cir.datasets.scenes import draw_scene
from cir.encoders import Encoder
from cir.images import decoding as images
from cir.images import shards
from cir.retrieval.ranking import embedding
from cir.retrieval.refine import GalleryGraph, Settings
from tests.helpers import ROOT

QUERIES = ("mug.png", "more/car.jpg", "more/deep/fish.PNG")
NAMES = ("red mug", "blue car", "green fish", "yellow hat", "pink tree")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "class_embedder"
    folder.mkdir()
    torch.manual_seed(0)
    ClassEmbedder.create("vitamin_micro_64", None, "gem", 32, 0.1).save(folder)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Draw two folders of objects: three queries, and a gallery of twenty-five images."""
    base = tmp_path_factory.mktemp("drawn")
    gallery = [f"{name.split()[1]}/{n}.png" for name in NAMES for n in range(5)]
    for part, names in (("queries", QUERIES), ("gallery", gallery)):
        for place, name in enumerate(names):
            path = base / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            label = NAMES[place % 5 if part == "queries" else place // 5]
            kind = "JPEG" if path.suffix == ".jpg" else "PNG"
            image = draw_scene([label], np.random.default_rng((len(names), place)))
            image.resize((90 + place, 64)).save(path, kind)
    return base


@pytest.fixture
def run(drawn, model, tmp_path, capsys):
    """Run a command on the folders; return its status, output and errors."""

    def call(command, *more, queries=None, gallery=None):
        words = ["classes", command]
        words += ["--queries", queries or drawn / "queries"]
        words += ["--gallery", gallery or drawn / "gallery"]
        if command == "rank":
            words += ["--model", model, "--out", tmp_path / "out.json"]
        status = main([str(word) for word in [*words, *more]])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


def vectors(model, folder, kind=ClassEmbedder):
    """Encode the images of a folder one by one; return their ids in order, and the vectors."""
    embedder = kind.load(model).eval()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = []
    for path in paths:
        pixels = embedder.preprocess(images.decode(path, path.name)).copy()
        with torch.inference_mode():
            (row,) = embedder.encode_images(torch.from_numpy(pixels)[None]).double().numpy()
        rows.append(row / np.linalg.norm(row))
    return [path.relative_to(folder).as_posix() for path in paths], np.array(rows)


def test_it_ranks_by_cosine(run, drawn, model, tmp_path):
    status, out, _ = run("rank", "--k", "4")
    assert status == 0
    assert out == f"{tmp_path / 'out.json'} answers 3 queries with 4 gallery ids each\n"
    query_ids, queries = vectors(model, drawn / "queries")
    gallery_ids, gallery = vectors(model, drawn / "gallery")
    assert sorted(query_ids) == sorted(QUERIES)
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written) == query_ids
    for query, scores in zip(query_ids, queries @ gallery.T, strict=True):
        found = [scores[gallery_ids.index(name)] for name in written[query]]
        np.testing.assert_allclose(found, np.sort(scores)[::-1][:4], atol=1e-5)


def test_an_encoder_of_texts_and_images_ranks_by_its_vectors_of_images(
    run, drawn, encoder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    encoder.save(folder)
    assert run("rank", "--k", "4", "--model", "mine")[0] == 0
    query_ids, queries = vectors(folder, drawn / "queries", Encoder)
    gallery_ids, gallery = vectors(folder, drawn / "gallery", Encoder)
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written) == query_ids
    for query, scores in zip(query_ids, queries @ gallery.T, strict=True):
        found = [scores[gallery_ids.index(name)] for name in written[query]]
        np.testing.assert_allclose(found, np.sort(scores)[::-1][:4], atol=1e-5)


def test_it_re_ranks_by_the_gallerys_graph(run, drawn, model, tmp_path):
    assert run("rank", "--rerank", "8", "--k", "5")[0] == 0
    query_ids, queries = vectors(model, drawn / "queries")
    gallery_ids, gallery = vectors(model, drawn / "gallery")
    graph = GalleryGraph(gallery.astype(np.float32), Settings(8, 3, 0.3))
    distances = graph.distances(queries.astype(np.float32))
    written = json.loads((tmp_path / "out.json").read_text())
    for query, row in zip(query_ids, distances, strict=True):
        found = [row[gallery_ids.index(name)] for name in written[query]]
        np.testing.assert_allclose(found, np.sort(row)[:5], atol=1e-4)
    assert run("rank", "--k", "5")[0] == 0
    plain = json.loads((tmp_path / "out.json").read_text())
    assert plain != written


def test_an_answer_does_not_depend_on_the_other_queries(run, drawn, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "mug.png").write_bytes((drawn / "queries" / "mug.png").read_bytes())
    run("rank", "--rerank")
    together = json.loads((tmp_path / "out.json").read_text())
    run("rank", "--rerank", queries=alone)
    assert json.loads((tmp_path / "out.json").read_text()) == {"mug.png": together["mug.png"]}


def test_a_small_gallery_gives_all_it_has(run, drawn, tmp_path):
    status, out, _ = run("rank", gallery=drawn / "gallery" / "hat")
    assert (status, out.endswith("with 5 gallery ids each\n")) == (0, True)
    status, out, _ = run("check", tmp_path / "out.json", gallery=drawn / "gallery" / "hat")
    assert (status, out.endswith("with 5 gallery ids each\n")) == (0, True)


def test_a_gallery_too_small_to_re_rank_is_a_sentence(run, drawn, tmp_path):
    status, out, err = run("rank", "--rerank", gallery=drawn / "gallery" / "hat")
    assert (status, out) == (1, "")
    assert err == (
        "error: k1 of re-ranking is 10: expected less than the 5 images of the gallery\n"
    )
    assert run("rank", "--rerank", "4", gallery=drawn / "gallery" / "hat")[0] == 0


def test_unreadable_files_are_named_all_at_once(run, drawn, tmp_path):
    for part in ("queries", "gallery"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "fine.png").write_bytes((drawn / "queries" / "mug.png").read_bytes())
        (tmp_path / part / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "gallery" / "empty.png").touch()
    status, out, err = run("rank", queries=tmp_path / "queries", gallery=tmp_path / "gallery")
    assert (status, out) == (1, "")
    (sentence,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "3 of 5 images cannot be used" in sentence
    for name in ("queries/broken.jpg", "gallery/broken.jpg", "gallery/empty.png"):
        assert str(tmp_path / name) in sentence
    assert not (tmp_path / "out.json").exists()


def test_what_is_no_image_is_told_of(run, drawn, tmp_path, capsys):
    folder = tmp_path / "queries"
    for name in (".hidden", "__MACOSX"):
        (folder / name).mkdir(parents=True)
    for name in ("mug.png", "notes.txt", ".hidden/other.png", "__MACOSX/mug.png", "ü.txt"):
        (folder / name).write_bytes((drawn / "queries" / "mug.png").read_bytes())
    (folder / "album").symlink_to(drawn / "gallery", target_is_directory=True)
    status, out, err = run("rank", queries=folder)
    assert (status, "answers 1 query with" in out) == (0, True)
    sentence = (
        f"{folder}: left out: 2 hidden (.hidden, __MACOSX); 2 without the suffix of an image "
        "(notes.txt, ü.txt); 1 links that lead out of the folder (album)\n"
    )
    assert sentence in err
    (ids,) = [list(rank_folders.find_images(folder))]
    assert ids == ["mug.png"]
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("command", ["rank", "check"])
def test_folders_without_images_are_refused(run, tmp_path, command):
    more = [tmp_path / "out.json"] if command == "check" else []
    assert "missing is no folder" in run(command, *more, queries=tmp_path / "missing")[2]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    status, _, err = run(command, *more, gallery=tmp_path / "empty")
    assert status == 1
    assert f"error: {tmp_path / 'empty'} has no images" in err
    assert "b.png; left out: 1 without the suffix of an image (notes.txt)" in err


def test_no_model_is_told_of(run, tmp_path):
    status, _, err = run("rank", "--model", tmp_path / "none")
    assert status == 1
    assert err.startswith(
        f"error: {tmp_path / 'none'} holds no class embedder and no encoder: run dvc repro "
        "stages/classes/dvc.yaml:train, which makes models/class_embedder, or name another model ("
    )


def test_a_folder_for_the_answers_is_refused_before_anything_is_loaded(run, tmp_path):
    (tmp_path / "out.json").mkdir()
    status, _, err = run("rank", "--model", tmp_path / "none", queries=tmp_path / "none")
    assert status == 1
    assert err == (
        f"error: --out is a folder: {tmp_path / 'out.json'}; expected the name of a file to write\n"
    )


def test_re_ranking_is_that_of_the_pipeline():
    conf = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))
    stage = conf["score_classes"]["reranking"]
    assert (stage["k1"], stage["k2"]) == (class_commands._K1, rank_folders._K2)
    assert stage["weight"] == Settings.weight


def test_a_single_image_asks(run, drawn, tmp_path):
    run("rank")
    together = json.loads((tmp_path / "out.json").read_text())
    photo = drawn / "queries" / "more" / "car.jpg"
    status, out, _ = run("rank", queries=photo)
    assert (status, out.endswith("answers 1 query with 10 gallery ids each\n")) == (0, True)
    assert json.loads((tmp_path / "out.json").read_text()) == {"car.jpg": together["more/car.jpg"]}
    assert run("check", tmp_path / "out.json", queries=photo)[0] == 0
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    status, _, err = run("rank", queries=tmp_path / "broken.jpg")
    assert status == 1
    assert (
        f"1 of 26 images cannot be used: image {tmp_path / 'broken.jpg'} has an unknown format"
        in err
    )


@pytest.mark.parametrize("more", [(), ("--rerank", "8")])
def test_an_image_is_no_answer_to_itself(run, drawn, model, tmp_path, more):
    gallery = tmp_path / "gallery"
    shutil.copytree(drawn / "gallery" / "hat", gallery / "hat")
    shutil.copytree(drawn / "gallery" / "car", gallery / "car")
    shutil.copy(gallery / "hat" / "0.png", gallery / "copy.png")
    (gallery / "link.png").symlink_to(gallery / "hat" / "1.png")
    ids, unit = vectors(model, gallery)
    status, out, err = run("rank", *more, "--k", "99", queries=gallery, gallery=gallery)
    # Two of twelve names are the same image, which has ten answers; so every query gets ten.
    assert (status, out.endswith("answers 12 queries with 10 gallery ids each\n")) == (0, True)
    assert "12 queries are in the gallery, too, and no answer to themselves: car/0.png, c" in err
    written = json.loads((tmp_path / "out.json").read_text())
    for query, answers in written.items():
        same = {"hat/1.png", "link.png"} if query in ("hat/1.png", "link.png") else {query}
        assert not same & set(answers)
        assert len(answers) == len(set(answers)) == 10
        if not more:
            scores = unit @ unit[ids.index(query)]
            kept = sorted((scores[ids.index(name)] for name in set(ids) - same), reverse=True)
            found = [scores[ids.index(name)] for name in answers]
            np.testing.assert_allclose(found, kept[:10], atol=1e-5)
    assert written["hat/0.png"][0] == "copy.png"  # another file, so an answer
    checked = run("check", tmp_path / "out.json", "--k", "99", queries=gallery, gallery=gallery)
    assert checked[0] == 0
    alone = gallery / "copy.png"
    status, _, err = run("rank", queries=alone, gallery=alone)
    assert (status, err) == (1, "error: the gallery holds nothing but the query itself: copy.png\n")


def test_shards_are_ranked_as_files_are(run, drawn, tmp_path):
    run("rank")
    plain = json.loads((tmp_path / "out.json").read_text())
    for part in ("queries", "gallery"):
        files = rank_folders.find_images(drawn / part)
        rows = [(name, path.read_bytes(), ("a class",)) for name, path in files.items()]
        shards.write(tmp_path / part, rows, [], {"source": "test"}, rows_per_shard=7)
    of_shards = {part: tmp_path / part for part in ("queries", "gallery")}
    assert run("rank", **of_shards)[0] == 0
    assert json.loads((tmp_path / "out.json").read_text()) == plain
    assert run("check", tmp_path / "out.json", **of_shards)[0] == 0
    gallery = tmp_path / "gallery"
    status, out, _ = run("rank", "--k", "99", queries=gallery, gallery=gallery)
    assert (status, out.endswith("answers 25 queries with 24 gallery ids each\n")) == (0, True)
    for query, answers in json.loads((tmp_path / "out.json").read_text()).items():
        assert query not in answers


def test_threads_change_no_answer(run, tmp_path, monkeypatch):
    run("rank", "--k", "25")
    alone = json.loads((tmp_path / "out.json").read_text())
    before = torch.get_num_threads()
    monkeypatch.setattr(embedding, "_PIXELS_AT_ONCE", 4 * 64 * 64)
    torch.set_num_threads(3)
    try:
        run("rank", "--k", "25")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert json.loads((tmp_path / "out.json").read_text()) == alone


def test_help_tells_what_the_options_take(capsys):
    for command in ("rank", "check"):
        with pytest.raises(SystemExit):
            main(["classes", command, "--help"])
        told = " ".join(capsys.readouterr().out.split())
        assert told.count("an image file, a folder of images at any depth, or the shards of") == 2
        assert ("JSON file to write" in told) == (command == "rank")


@pytest.mark.parametrize("k", ["0", "-1", "many"])
def test_a_wrong_number_is_a_matter_of_the_command_line(run, capsys, k):
    with pytest.raises(SystemExit):
        run("rank", "--k", k)
    assert "expected a whole number from 1 upwards" in capsys.readouterr().err


def test_a_checked_file_has_all_its_faults_told(run, tmp_path):
    run("rank")
    path = tmp_path / "out.json"
    assert run("check", path) == (0, f"{path} answers 3 queries with 10 gallery ids each\n", "")
    content = json.loads(path.read_text())
    content["mug.png"][3] = "mug/nowhere.png"
    content["more/car.jpg"].pop()
    path.write_text(json.dumps(content))
    status, out, err = run("check", path)
    assert (status, out) == (1, "")
    assert "mug/nowhere.png" in err
    assert "1 of 3 lists are shorter than 10" in err
    assert run("check", path, "--k", "9")[0] == 1


def test_without_folders_the_class_datas_shards_are_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ids = {"query": ["query/a", "query/b"], "gallery": [f"gallery/{n}" for n in range(12)]}
    for part, names in ids.items():
        rows = [(name, b"not decoded", ("a class",)) for name in names]
        (tmp_path / "data" / "classes").mkdir(parents=True, exist_ok=True)
        shards.write(tmp_path / "data" / "classes" / part, rows, [], {"source": "test"})
    class_submission.write("fine.json", ids["query"], [ids["gallery"][:10]] * 2)
    assert main(["classes", "check", "fine.json"]) == 0
    assert capsys.readouterr().out == "fine.json answers 2 queries with 10 gallery ids each\n"
    class_submission.write("short.json", ids["query"][:1], [ids["gallery"][:10]])
    assert main(["classes", "check", "short.json"]) == 1
    assert "1 of 2 queries are missing: query/b" in capsys.readouterr().err
