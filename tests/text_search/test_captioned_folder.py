"""A user's folder of images with captions: how it is read and divided, and what is refused."""

import codecs
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cir.core.errors import UserError
from cir.images.shards import ImageShards, read_info
from cir.text_search.data import captioned_folder
from cir.text_search.data.params import CaptionedFolder
from cir.text_search.data.queries import read_captions, read_queries

SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}
JSONL, CSV = Path("captions.jsonl"), Path("captions.csv")


def save(path, number, size=(20, 16)):
    """A picture unlike those of other numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), np.uint8)).save(path)


def write_lines(root, captions):
    lines = [json.dumps({"image": name, "captions": texts}) for name, texts in captions.items()]
    (root / JSONL).write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    """Twenty captioned images, one of them wide, and four without a caption."""
    for number in range(24):
        save(tmp_path / f"i{number:02d}.png", number, (300, 40) if number == 3 else (20, 16))
    (tmp_path / "notes.txt").write_text("no image")
    write_lines(tmp_path, {f"i{n:02d}.png": [f"one of {n}", f"two of {n}"] for n in range(20)})
    return tmp_path


def load(root, captions=JSONL, seed=1, max_side=64):
    given = {"source": "captioned_folder", "root": root, "captions": captions}
    given |= {"val": SHARES["val"], "test": SHARES["test"], "max_side": max_side}
    return captioned_folder.load(CaptionedFolder(**given, rows_per_shard=50, workers=1), seed)


def names_of(split):
    return [name for name, _, _ in split.rows]


def test_images_are_divided_with_their_captions(root):
    splits = load(root)
    names = {part: names_of(split) for part, split in splits.items()}
    assert sorted(n for own in names.values() for n in own) == [f"i{n:02d}.png" for n in range(24)]
    assert {part: len(own) for part, own in names.items()} == {"train": 14, "val": 4, "test": 6}
    assert {f"i{n:02d}.png" for n in range(20, 24)} <= set(names["train"])
    for part, split in splits.items():
        own = [n for n in names[part] if int(n[1:3]) < 20]
        texts = [(n, f"{word} of {int(n[1:3])}") for n in own for word in ("one", "two")]
        assert list(split.captions) == ([] if part == "test" else texts)
        asked = [(q.grades, q.text, q.kind) for q in split.queries]
        expected = [({n: 4}, text, "caption") for n, text in texts]
        assert asked == ([] if part == "train" else expected)
        assert len({q.id for q in split.queries}) == len(split.queries)
        assert split.images == len(names[part])


def test_the_seed_decides_who_goes_where(root):
    first = {part: names_of(split) for part, split in load(root).items()}
    assert {part: names_of(split) for part, split in load(root).items()} == first
    assert {part: names_of(split) for part, split in load(root, seed=2).items()} != first


def test_what_is_written_reads_back(root, tmp_path):
    out = tmp_path / "out"
    for part, split in load(root).items():
        split.write(out / part, rows_per_shard=5)
    test, train = (ImageShards(out / part) for part in ("test", "train"))
    assert read_info(out / "test")["queries"] == 12
    assert read_info(out / "test")["source"] == "captioned_folder"
    assert len(read_queries(out / "test", test.ids)) == 12
    assert len(read_captions(out / "train")) == 20
    every = (test, train, ImageShards(out / "val"))
    (wide,) = [shards for shards in every if "i03.png" in shards]
    assert wide.image("i03.png").size == (64, 9)
    (whole,) = [shards for shards in every if "i04.png" in shards]
    assert whole.encoded("i04.png") == (root / "i04.png").read_bytes()
    assert train.objects(train.ids[0]) == ()


def test_images_may_lie_in_a_folder_of_their_own(root):
    folder = root / "images"
    folder.mkdir()
    for number in range(20):
        (root / f"i{number:02d}.png").rename(folder / f"i{number:02d}.png")
    assert sum(split.images for split in load(root).values()) == 20


def test_a_table_says_the_same_as_lines(root):
    """As a spreadsheet writes it: a byte order mark, Windows lines, quotes, further columns."""
    rows = ["by,image,caption"]
    for number in range(20):
        rows += [
            f"ann,i{number:02d}.png,one of {number}",
            f'bob,i{number:02d}.png,"two of {number}"',
        ]
    (root / CSV).write_bytes(codecs.BOM_UTF8 + "\r\n".join([*rows, ""]).encode())
    lines, table = captioned_folder.read(root / JSONL), captioned_folder.read(root / CSV)
    assert table == lines
    assert list(table) == list(lines)
    with_mark = codecs.BOM_UTF8 + (root / JSONL).read_bytes().replace(b"\n", b"\r\n\r\n")
    (root / JSONL).write_bytes(with_mark)
    assert captioned_folder.read(root / JSONL) == lines


def test_the_name_of_the_file_may_be_in_capitals(root):
    lines = captioned_folder.read(root / JSONL)
    (root / JSONL).rename(root / "SAID.JSONL")
    assert captioned_folder.read(root / "SAID.JSONL") == lines


def test_captions_lose_their_line_ends_and_empty_ones_are_none(root):
    (root / CSV).write_text('image,caption\na.png,"a dog,\n  on  a beach "\nb.png,  \na.png,"x"\n')
    assert captioned_folder.read(root / CSV) == {"a.png": ["a dog, on a beach", "x"]}
    write_lines(root, {"a.png": [], "b.png": ["", " é\tè "]})
    assert captioned_folder.read(root / JSONL) == {"b.png": ["é è"]}


def test_copies_of_an_image_stay_together_and_answer_alike(root):
    for number in range(20):  # every captioned image twice, its copy with or without a caption
        (root / f"z{number:02d}.png").write_bytes((root / f"i{number:02d}.png").read_bytes())
    captions = {f"i{n:02d}.png": [f"one of {n}"] for n in range(20)}
    write_lines(root, captions | {f"z{n:02d}.png": [f"copy of {n}"] for n in range(10)})
    for seed in range(3):
        splits = load(root, seed=seed)
        part_of = {n: part for part, split in splits.items() for n in names_of(split)}
        assert {part_of[f"i{n:02d}.png"] for n in range(20)} == set(SHARES)
        for number in range(20):
            assert part_of[f"i{number:02d}.png"] == part_of[f"z{number:02d}.png"]
        for query in splits["test"].queries:
            number = query.text.split()[-1].zfill(2)
            assert dict(query.grades) == {f"i{number}.png": 4, f"z{number}.png": 4}


def refused(run, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        run()
    assert "\n" not in str(caught.value)


def test_captions_of_images_that_are_not_there(root):
    (root / "i05.png").unlink()
    (root / "i07.png").unlink()
    refused(
        lambda: load(root),
        f"2 of 20 captioned images are not in {re.escape(str(root))}: i05.png, i07.png$",
    )


def test_an_image_that_cannot_be_decoded(root):
    (root / "i22.png").write_bytes(b"not a picture")
    refused(
        lambda: load(root), r"1 of 24 images cannot be used: image i22\.png has an unknown format"
    )


def test_parts_that_would_be_empty(root):
    write_lines(root, {"i01.png": ["x"], "i02.png": ["y"]})
    refused(lambda: load(root), "val has no captioned image: raise its share, or add captions")


def test_no_folder(root, tmp_path):
    refused(lambda: load(tmp_path / "none"), "none/captions.jsonl does not exist")
    refused(lambda: load(tmp_path / "none", root / JSONL), "none is no folder of images$")
    refused(lambda: load(Path("photos/none")), "none is no folder .* give the absolute path$")


def test_a_folder_in_place_of_the_captions(root):
    (root / "said.jsonl").mkdir()
    refused(
        lambda: captioned_folder.read(root / "said.jsonl"),
        r"said\.jsonl is a folder, not a file",
    )


EXPECTED = r'captions\.jsonl, line 2: expected \{"image": name, "captions": \[sentence, \.\.\.\]\}'


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "null",
        "3",
        '["a.png", "x"]',
        '{"image": "a.png"}',
        '{"captions": ["x"]}',
        '{"image": "a.png", "captions": null}',
        '{"image": "a.png", "captions": "a dog"}',
        '{"image": "a.png", "captions": {"a dog": 1}}',
        '{"image": "a.png", "captions": ["x", 3]}',
        '{"image": 3, "captions": ["x"]}',
    ],
)
def test_lines_of_another_form(tmp_path, line):
    (tmp_path / JSONL).write_text('{"image": "b.png", "captions": ["x"]}\n' + line + "\n")
    refused(lambda: captioned_folder.read(tmp_path / JSONL), EXPECTED + ", got " + re.escape(line))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("c.csv", b"", "c.csv has no column image, caption: expected"),
        (
            "c.csv",
            b"image,text\na,b\n",
            "no column caption: expected image, caption, got image, text$",
        ),
        ("c.csv", b"image,caption\n", "c.csv holds no caption$"),
        ("c.csv", b"image,caption\na.png, \n", "c.csv holds no caption$"),
        (
            "c.csv",
            b"image,caption\na,b\na.png,a dog, running\n",
            r"1 of 2 rows do not .* 2 values .*: 3$",
        ),
        ("c.csv", b"caption,image\na dog\n", r"1 of 1 rows do not have the 2 values .*: 2$"),
        ("c.csv", b"image,caption\na.png,caf\xe9\n", "c.csv is not a CSV file in UTF-8"),
        (
            "c.csv",
            b"image,caption\na," + b"x" * 140_000,
            "is not a CSV file .*: field larger",
        ),
        ("c.jsonl", b'{"image": "caf\xe9", "captions": []}', "c.jsonl is not UTF-8"),
        ("c.jsonl", b"", "c.jsonl holds no caption$"),
        ("c.jsonl", b'{"image": "a", "captions": [" "]}', "c.jsonl holds no caption$"),
    ],
)
def test_files_that_hold_no_captions(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    refused(lambda: captioned_folder.read(tmp_path / name), sentence)
