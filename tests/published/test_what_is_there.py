"""python -m cir data check: one screen, and a status that says if anything can be run."""

from pathlib import Path

import pytest

from cir.commands.main import main
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
