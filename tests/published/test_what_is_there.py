"""python -m cir data check: one screen, and a status that says if anything can be run."""

import itertools
import json
import shlex
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from cir.commands.main import main
from cir.core.errors import UserError
from cir.published.datasets import DATASETS
from cir.published.datasets.fashioniq import FashionIQ
from cir.published.servers import what_is_there as data_check
from tests.helpers import miniature_datasets as mini

TRAIN = (
    "train and score: dvc exp run -S benchmark={name} -S benchmark.dataset.root={root} "
    "stages/published/dvc.yaml:train"
)
SCORE = "score a model: python -m cir data score {name} --root {root} --part {part}"
ANSWER = (
    "files for the test server: "
    "python -m cir data answers {name} --root {root} --part {part} --out FOLDER"
)
EVERYTHING = {
    "mit_states": [(TRAIN, None), (SCORE, "test")],
    "fashion200k": [(TRAIN, None), (SCORE, "test")],
    "fashioniq": [(TRAIN, None), (SCORE, "val")],
    "cirr": [(TRAIN, None), (SCORE, "val"), (ANSWER, "test1")],
    "circo": [(SCORE, "val"), (ANSWER, "test")],
}


def run(capsys, name, root):
    status = main(["data", "check", name, "--root", str(root)])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_whole_dataset(capsys, tmp_path, name):
    status, lines, err = run(capsys, name, mini.WRITERS[name](tmp_path))
    assert (status, err) == (0, "")
    start = lines.index("can be run:")
    assert lines[start + 1 :] == [
        "  " + command.format(name=name, root=tmp_path, part=part)
        for command, part in EVERYTHING[name]
    ]
    assert len(lines) <= 24
    assert not any("missing" in line for line in lines)


def test_sizes_and_withheld_answers(capsys, tmp_path):
    _, lines, _ = run(capsys, "fashioniq", mini.fashioniq(tmp_path))
    assert lines[0] == f"FashionIQ in {tmp_path}"
    assert lines[1].split() == "there train dress 3 pairs an epoch, 4 images".split()
    assert lines[4].split() == "there val dress 3 queries, 6 gallery images".split()
    withheld = "answers are withheld, so it cannot be scored"
    assert lines[7] == f"  withheld  test dress    3 queries, 6 gallery images; the {withheld}"
    assert lines[8].split()[:3] == ["withheld", "test", "shirt"]


def test_withheld_parts_stay_withheld_whatever_is_absent(capsys, tmp_path):
    root = mini.fashioniq(tmp_path)
    next(root.glob("images/dtest1.*")).unlink()
    (root / "captions" / "cap.shirt.test.json").unlink()
    (root / "captions" / "cap.toptee.test.json").write_text("[")
    _, lines, _ = run(capsys, "fashioniq", root)
    size, absent = "3 queries, 6 gallery images", "1 of 6 images are not there: images/dtest1.jpg"
    assert lines[7].endswith(f"{size}; {absent}; the answers are withheld, so it cannot be scored")
    assert lines[7].split()[0] == lines[8].split()[0] == "withheld"
    assert lines[8].endswith("captions/cap.shirt.test.json is missing")
    assert lines[9].split()[0] == "broken"


def test_what_is_missing_is_named_and_counted(capsys, tmp_path):
    root = mini.fashioniq(tmp_path)
    (root / "captions" / "cap.shirt.val.json").unlink()
    for number in (4, 5):
        next(root.glob(f"images/dval{number}.*")).unlink()
    status, lines, _ = run(capsys, "fashioniq", root)
    text = "\n".join(lines)
    assert status == 0
    assert "shirt has no val split: captions/cap.shirt.val.json is missing" in text
    assert "2 of 6 images are not there: images/dval4.jpg, images/dval5.jpg" in text
    assert "without them: 3 queries, 4 gallery images" in text
    command = f"python -m cir data score fashioniq --root {root} --part 'val dress' 'val toptee'"
    assert lines[lines.index("can be run:") + 1 :] == [f"  score a model: {command} --leave-out"]


def test_a_name_that_is_too_long_for_a_file_is_an_absent_image(capsys, tmp_path):
    root = mini.cirr(tmp_path)
    path = root / "cirr" / "image_splits" / "split.rc2.val.json"
    names = json.loads(path.read_text(encoding="utf-8"))
    mini.dump(path, names | dict.fromkeys(list(names)[-1:], "a sentence " * 40))
    _, lines, _ = run(capsys, "cirr", root)
    assert "1 of 12 images are not there: a sentence a sentence" in "\n".join(lines)


def test_absent_images_are_left_out_in_training_too(capsys, tmp_path):
    root = mini.fashion200k(tmp_path)
    (root / "women/a/3.jpeg").unlink()
    _, lines, _ = run(capsys, "fashion200k", root)
    assert "-S 'benchmark.dataset.absent=leave out' stages/published/dvc.yaml:train" in lines[-2]
    assert "leave-out" not in lines[-1]


@pytest.mark.parametrize(("name", "photo"), [("cirr", "test1/test1-3-img1.png"), ("circo", None)])
def test_the_test_server_wants_every_image(capsys, tmp_path, name, photo):
    root = mini.WRITERS[name](tmp_path)
    (root / (photo or "COCO2017_unlabeled/unlabeled2017/000000001030.jpg")).unlink()
    status, lines, _ = run(capsys, name, root)
    assert status == 0
    assert "the test server wants every query, so no image may be absent" in "\n".join(lines)
    assert "data answers" not in "\n".join(lines)
    assert "--part val" in lines[-1]


def test_broken_is_told_from_missing(capsys, tmp_path):
    root = mini.cirr(tmp_path)
    path = root / "cirr" / "captions" / "cap.rc2.val.json"
    path.write_bytes(path.read_bytes()[:-10])
    (root / "cirr" / "captions" / "cap.rc2.train.json").unlink()
    _, lines, _ = run(capsys, "cirr", root)
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["missing", "train"],
        ["broken", "val"],
        ["there", "test1"],
    ]


def test_a_part_of_which_nothing_would_be_left_says_so(capsys, tmp_path):
    root = mini.cirr(tmp_path)
    for path in (root / "dev").iterdir():
        path.unlink()
    _, lines, _ = run(capsys, "cirr", root)
    assert lines[2].split()[:2] == ["missing", "val"]
    assert lines[3].strip().startswith("12 of 12 images are not there: dev/dev-0-img0.png")
    assert lines[4].strip() == "without them: CIRR val has no queries"


def test_a_root_called_like_a_folder_within(capsys, tmp_path, monkeypatch):
    """Of cirr/cirr/captions the first part alone is the root."""
    mini.cirr(tmp_path / "cirr")
    (tmp_path / "cirr/cirr/captions/cap.rc2.val.json").unlink()
    monkeypatch.chdir(tmp_path)
    _, lines, _ = run(capsys, "cirr", "cirr")
    assert lines[0] == f"CIRR in {tmp_path}/cirr"
    missing = "CIRR has no val split: cirr/captions/cap.rc2.val.json is missing"
    assert lines[2].split(maxsplit=2)[2] == missing


def test_annotations_without_any_image_cannot_be_run(capsys, tmp_path):
    root = mini.cirr(tmp_path)
    for path in root.rglob("*.png"):
        path.unlink()
    status, lines, _ = run(capsys, "cirr", root)
    assert status == 1
    assert lines[-1] == "can be run: nothing"
    assert "12 of 12 images are not there: dev/dev-0-img0.png" in "\n".join(lines)


def test_withheld_answers_alone_cannot_be_run(capsys, tmp_path):
    root = mini.fashioniq(tmp_path)
    for split in ("train", "val"):
        for path in root.glob(f"captions/*.{split}.json"):
            path.unlink()
    status, lines, _ = run(capsys, "fashioniq", root)
    assert (status, lines[-1]) == (1, "can be run: nothing")


def test_a_root_of_another_layout_and_unknown_names(capsys, tmp_path):
    status, lines, err = run(capsys, "circo", mini.cirr(tmp_path))
    assert (status, lines) == (1, [])
    assert err.startswith("error: ")
    assert err.endswith("it looks like CIRR\n")
    with pytest.raises(SystemExit):
        main(["data", "check", "cifar", "--root", str(tmp_path)])


def test_the_root_is_left_out_at_the_start_of_a_path_alone():
    dataset = FashionIQ(Path("/data"))
    said = "no dress in /data: /data/old/data/x is missing (/data/y), and so is /data2/z in /data2"
    shorter = "no dress: old/data/x is missing (y), and so is /data2/z in /data2"
    assert data_check._without_root(said, dataset) == shorter


def test_drawn_data_need_no_files(capsys, tmp_path):
    status = main(["data", "check", "drawn_attributes"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[0] == "Drawn attributes: its images are drawn, so no files are needed"
    assert lines[3].split() == "there test 800 queries, 1,000 gallery images".split()
    assert lines[-3:] == [
        "  train and score: dvc exp run -S benchmark=drawn_attributes "
        "stages/published/dvc.yaml:train",
        "  score a model: python -m cir data score drawn_attributes --part val",
        "  score a model: python -m cir data score drawn_attributes --part test",
    ]
    status, lines, err = run(capsys, "drawn_attributes", tmp_path)
    assert (status, lines) == (1, [])
    assert err == "error: Drawn attributes is drawn and needs no folder: leave --root out\n"


def test_stored_data_need_a_root(capsys):
    assert main(["data", "check", "cirr"]) == 1
    assert (
        capsys.readouterr().err == "error: CIRR needs --root, the folder that holds the dataset\n"
    )


BROKEN = {"empty": b"", "html": b"<!DOCTYPE html><title>404</title>", "cut": None}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_images_are_counted_and_can_be_left_out(capsys, tmp_path, kind):
    root = mini.fashioniq(tmp_path)
    photo = next(root.glob("images/dval4.*"))
    photo.write_bytes(BROKEN[kind] if BROKEN[kind] is not None else photo.read_bytes()[:60])
    status, lines, _ = run(capsys, "fashioniq", root)
    assert status == 0
    (line,) = [line for line in lines if "were decoded" in line]
    assert "1 of the 6 images that were decoded are broken: image dval4" in line
    assert "without them: 3 queries, 5 gallery images" in "\n".join(lines)
    assert "-S 'benchmark.dataset.absent=leave out' stages/published/dvc.yaml:train" in lines[-2]
    assert lines[-1].endswith("--part val --leave-out")
    (whole,) = FashionIQ(root).query_sets("val dress")
    with pytest.raises(UserError, match="dval4"):
        FashionIQ(root).picture("dval4", whole.images)
    (part,) = FashionIQ(root).query_sets("val dress", absent="leave out")
    assert (len(part.queries), len(part.gallery)) == (3, 5)
    assert "1 of the 6 images that were decoded are broken" in capsys.readouterr().err


def test_training_leaves_broken_images_out(tmp_path):
    root = mini.fashion200k(tmp_path)
    (root / "women/a/3.jpeg").write_bytes(b"no image")
    (pairs,) = DATASETS["fashion200k"](root).training_pairs(absent="leave out")
    assert set(pairs.images) == {f"women/{name}.jpeg" for name in ("a/1", "a/2", "b/1", "b/2")}


def test_of_many_images_a_sample_is_decoded(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(data_check, "_SAMPLE", 3)
    root = mini.fashioniq(tmp_path)
    names = json.loads((root / "image_splits" / "split.dress.val.json").read_text())
    next(root.glob(f"images/{names[1]}.*")).write_bytes(b"no image")
    _, lines, _ = run(capsys, "fashioniq", root)
    assert "3 of 6 images were decoded; --all decodes them all" in "\n".join(lines)
    assert "broken" not in "\n".join(lines)
    assert main(["data", "check", "fashioniq", "--root", str(root), "--all"]) == 0
    assert "1 of the 6 images that were decoded are broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    "folder",
    [
        "fiq (1), café",
        "it's=here",
        'a "b" [c] {d}',
        "a\\b\\",
        "a\\'b",
        "${x}",
        "12",
        "null",
        "~ #*$x",
    ],
)
def test_the_command_for_dvc_runs_whatever_the_path_is_called(capsys, tmp_path, folder):
    """DVC takes the settings as Hydra's overrides, after a shell."""
    root = mini.fashioniq(tmp_path / folder)
    _, lines, _ = run(capsys, "fashioniq", root)
    (line,) = [line for line in lines if "dvc exp run" in line]
    words = shlex.split(line.partition(": ")[2])
    settings = [word for before, word in itertools.pairwise(words) if before == "-S"]
    params = tmp_path / "params.yaml"
    params.write_text("benchmark:\n  dataset:\n    root: x\n    absent: refuse\n")
    apply_overrides(params, [setting for setting in settings if "dataset" in setting])
    written = YAML(typ="safe").load(params.read_text(encoding="utf-8"))
    assert written["benchmark"]["dataset"]["root"] == str(root)
