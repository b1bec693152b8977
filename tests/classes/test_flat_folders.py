"""Class folders to train on, and flat folders of queries and gallery."""

import collections

import pytest

from cir.classes.datasets import label_table, make_splits
from cir.core.errors import UserError
from tests.helpers.class_images import fill, flat, flat_folders, ids, save

# Training folders, flat test folders


def test_prefixes_are_classes(tmp_path):
    found = ids(make_splits(flat(flat_folders(tmp_path)), seed=0))
    assert found["query"] == {
        "test/query/apple_pie_1.png": "apple_pie",
        "test/query/pear_1.png": "pear",
        "test/query/pear_2.png": "pear",
    }
    assert set(found["gallery"].values()) == {"apple_pie", "pear", "kiwi"}
    assert collections.Counter(found["val"].values()) == dict.fromkeys(
        ("apple_pie", "pear", "plum", "quince"), 2
    )
    assert "training/plum/plum-3.png" in found["train"] | found["val"]


def test_whole_training_classes_validate(tmp_path):
    found = ids(make_splits(flat(flat_folders(tmp_path), divide="classes"), seed=0))
    assert len(set(found["val"].values())) == len(set(found["train"].values())) == 2
    assert not set(found["val"].values()) & set(found["train"].values())


def table(root, *rows, head="file,class", place="test"):
    (root / place / "labels.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


ROWS = (
    "query/apple_pie_1.png,pie",
    "gallery/apple_pie_1.png,pie",
    "apple_pie_7.png,pie",
    "test/query/pear_1.png,fruit",
    'pear_2.png,"fruit"',
    " pear_x.png , fruit ",
    "kiwi_1.png,fruit",
)


@pytest.mark.parametrize("place", ["test", "."])
def test_a_table_gives_classes(tmp_path, place):
    table(flat_folders(tmp_path), *ROWS, place=place)
    splits = make_splits(flat(tmp_path, labels="csv"), seed=0)
    found = ids(splits)
    assert found["query"]["test/query/apple_pie_1.png"] == "pie"
    assert found["gallery"]["test/gallery/kiwi_1.png"] == "fruit"
    assert collections.Counter(found["query"].values()) == {"pie": 1, "fruit": 2}
    assert splits["train"].info["notes"] == []


def test_a_table_may_spell_paths_in_other_ways(tmp_path):
    flat_folders(tmp_path)
    composed, decomposed = "caf\u00e9_1.png", "cafe\u0301_1.png"
    save(tmp_path / "test" / "query" / decomposed, 700)
    save(tmp_path / "test" / "gallery" / "cafe_1.png", 701)
    rows = [r"query\apple_pie_1.png,pie", r".\test\gallery\apple_pie_1.png,pie"]
    rows += ["./apple_pie_7.png,pie", "././query/pear_1.png,fruit", *ROWS[4:]]
    rows += [f"query/{composed},bar", "cafe_1.png,bar"]
    table(tmp_path, *rows)
    found = ids(make_splits(flat(tmp_path, labels="csv"), seed=0))
    assert found["query"] == {
        "test/query/apple_pie_1.png": "pie",
        f"test/query/{decomposed}": "bar",
        "test/query/pear_1.png": "fruit",
        "test/query/pear_2.png": "fruit",
    }
    assert len(found["gallery"]) == 5


def test_names_that_differ_in_spelling_only_are_kept_apart(tmp_path):
    composed, decomposed, path = "q/\u00e9.png", "q/e\u0301.png", tmp_path / "labels.csv"
    names = [composed, decomposed, "q/a\\b.png", "a/b.png"]

    def labels(*files):
        lines = [f"{file},{number}" for number, file in enumerate(files)]
        path.write_text("\n".join(["file,class", *lines]), encoding="utf-8")
        return label_table.labels(path, names)

    assert labels(*names) == dict(zip(names, "0123", strict=True))
    assert labels("./q/\u00e9.png"[4:], decomposed, "./q/a\\b.png", "b.png") == {
        composed: "0", decomposed: "1", names[2]: "2", names[3]: "3",
    }  # fmt: skip
    with pytest.raises(UserError, match=r"1 of 5 rows name files that are not there: q\\a\\b\.p"):
        labels(*names[:2], "q/a\\b.png", "a/b.png", r"q\a\b.png")
    with pytest.raises(UserError, match=r"1 of 3 rows name two files at once: \./\S+ of row 2"):
        labels("./" + composed, *names[2:])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((*ROWS, "kiwi_1.png,kiwi"), r"1 of 7 files have more than .*kiwi_1\.png in rows 8 and 9"),
        (ROWS[1:], r"labels\.csv: 1 of 7 files have no row: test/query/apple_pie_1\.png"),
        ((*ROWS, "x.png,pie"), r"1 of 8 rows name files that are not there: x\.png of row 9"),
        (("apple_pie_1.png,pie", *ROWS[2:]), r"1 of 6 rows name two files at once: apple_pie_1"),
        ((*ROWS[:6], "kiwi_1.png,"), r"1 of 7 rows lack a file or a class: 8"),
        ((*ROWS, "a,b,c"), r"1 of 8 rows do not have the 2 values of the header .*: 9"),
        (("x.png,a", "y.png,b"), r"2 of 2 rows name files .*; 7 of 7 files have no row: .* 4 more"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, rows, sentence):
    table(flat_folders(tmp_path), *rows)
    with pytest.raises(UserError, match=sentence):
        make_splits(flat(tmp_path, labels="csv"), seed=0)


def test_a_table_without_its_columns_or_absent(tmp_path):
    flat_folders(tmp_path)
    with pytest.raises(UserError, match=r"expected .*test/labels\.csv or .*/labels\.csv"):
        make_splits(flat(tmp_path, labels="csv"), seed=0)
    table(tmp_path, "a,b", head="image,class")
    with pytest.raises(UserError, match="has no column file: expected file, class, got image, cl"):
        make_splits(flat(tmp_path, labels="csv"), seed=0)
    (tmp_path / "test" / "labels.csv").write_bytes(b"file,class\n\xff,\xfe\n")
    with pytest.raises(UserError, match="is not a CSV file in UTF-8"):
        make_splits(flat(tmp_path, labels="csv"), seed=0)


def test_flat_files_without_a_class(tmp_path):
    flat_folders(tmp_path)
    save(tmp_path / "test" / "query" / "plain.png", 700)
    save(tmp_path / "test" / "gallery" / "_1.png", 701)
    with pytest.raises(UserError, match=r"2 of 9 files have no class before a '_' .*plain\.png"):
        make_splits(flat(tmp_path), seed=0)


def test_flat_folders_that_hold_folders(tmp_path):
    flat_folders(tmp_path)
    (tmp_path / "test" / "gallery").rename(tmp_path / "pictures")
    with pytest.raises(UserError, match="gallery is no folder"):
        make_splits(flat(tmp_path), seed=0)
    fill(tmp_path / "test" / "gallery", {"a": 2, "b": 2}, 800)
    with pytest.raises(UserError, match=r"not in folders of their own \(2 folders are there\)"):
        make_splits(flat(tmp_path), seed=0)
