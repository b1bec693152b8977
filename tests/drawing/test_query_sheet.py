import numpy as np
import pytest
from PIL import Image

from cir.core.records import Triplet
from cir.drawing import query_sheet as pictures
from cir.drawing.query_sheet import QueryRow, save_sheet, sheet
from cir.edits.reading.templates import split_words
from cir.images import decoding as images
from cir.images import shards
from cir.retrieval.ranking.ranking import rank
from cir.retrieval.sheet import query_rows

TEXT = "Take out the jacket; add a watering can."
LABELS = {"jacket": "neg", "watering": "pos", "can": "pos"}


def labels_of(text):
    return [LABELS.get(word, "other") for word in split_words(text)]


def plain(colour="white"):
    return Image.new("RGB", (40, 30), colour)


def row(text=TEXT, right=0, answers=5):
    return QueryRow(plain(), text, labels_of(text), [plain()] * answers, right, plain(), 7)


def colours(picture):
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.getcolors(1 << 20)}


def contrast_with_white(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 1.05 / (0.05 + float(np.dot([0.2126, 0.7152, 0.0722], linear)))


def test_words_are_coloured_and_readable():
    right, wrong = pictures._COLOURS["pos"], pictures._COLOURS["neg"]
    unframed = {"right": None, "answers": 0}
    assert {right, wrong} <= colours(sheet([row(**unframed)]))
    assert not {right, wrong} & colours(sheet([row("Keep it as it is.", **unframed)]))
    for colour in (right, wrong, pictures._INK):
        assert contrast_with_white(colour) >= 4.5  # the threshold of the web's guidelines


@pytest.mark.parametrize(("right", "framed"), [(0, {"right"}), (3, {"right", "wrong"})])
def test_the_right_answer_is_framed_and_a_wrong_first_one_too(right, framed):
    shown = colours(sheet([row("Keep it.", right)]))
    assert (pictures._RIGHT in shown, pictures._WRONG in shown) == (
        "right" in framed,
        "wrong" in framed,
    )


def test_sheets_grow_with_rows_and_with_the_target():
    one, two = sheet([row()]), sheet([row(), row()])
    assert two.height > one.height
    assert sheet([row()], with_target=True).width > one.width
    assert sheet([]).size > (0, 0)


def test_a_sentence_of_2000_words_stays_in_its_row():
    long = sheet([row("word " * 2000, right=None, answers=0)])
    short = sheet([row("word", right=None, answers=0)])
    assert long.size == short.size
    below = np.asarray(long)[-pictures._GAP :]
    assert (below == 255).all()


def test_labels_must_fit_the_words():
    with pytest.raises(AssertionError):
        sheet([QueryRow(plain(), TEXT, ["other"], [], None, plain(), 1)])


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.png"])
def test_noisy_sheets_fit_the_limit(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 900, 3), dtype=np.uint8)
    save_sheet(Image.fromarray(noise), tmp_path / name)
    assert (tmp_path / name).stat().st_size <= pictures.MOST_BYTES
    assert Image.open(tmp_path / name).size == (900, 1000)


def test_rows_come_from_a_ranking(tmp_path):
    shades = {"r": "red", "t": "lime", "x": "blue"}
    shards.write(
        tmp_path / "test", [(k, images.encode(plain(v)), ()) for k, v in shades.items()], [], {}
    )
    vectors = np.eye(3, dtype=np.float32)
    query = np.array([[0.1, 0.5, 0.9]], np.float32)
    ranking = rank(query, vectors, ["q"], list(shades), np.array([1]))
    (made,) = query_rows(
        ranking,
        [Triplet("q", "r", TEXT, "t")],
        shards.ImageShards(tmp_path / "test"),
        [0],
        [labels_of(TEXT)],
        answers=2,
    )
    assert (made.right, made.target_rank, len(made.answers)) == (1, 2, 2)
    assert made.answers[0].getpixel((5, 5))[2] > 200  # blue came first
    assert made.target.getpixel((5, 5))[1] > 200


def test_plots_are_the_same_bytes_for_the_same_figures(tmp_path):
    for name in ("one", "other"):
        pictures.save_line_plot(
            {"a": ([1, 5], [0.5, 1.0])}, "k", "recall", tmp_path / f"l{name}.png"
        )
        pictures.save_bar_plot({"+1 -0": 0.9, "+0 -1": 1.0}, "accuracy", tmp_path / f"b{name}.png")
        rows = {"a_name": (0.9, 0.85, 0.95), "b": (0.0, 0.0, 0.0)}
        pictures.save_interval_plot(rows, "accuracy", tmp_path / f"i{name}.png")
    for kind in "lbi":
        one, other = ((tmp_path / f"{kind}{name}.png").read_bytes() for name in ("one", "other"))
        assert one == other
        assert one.startswith(b"\x89PNG")
