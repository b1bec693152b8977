"""Sheets: the colours of words, frames and captions, and how much room a text takes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from cir.drawing import sheet as sheets
from cir.drawing.sheet import GREEN, INK, LARGE, RED, SMALL, Column, Picture, Sentence, Text
from cir.edits.reading.word_splitter import split_words

SENTENCE = "Take out the jacket; add a watering can."
LABELS = {"jacket": "neg", "watering": "pos", "can": "pos"}
WHITE = (255, 255, 255)


def sentence(text=SENTENCE):
    return Sentence(text, [LABELS.get(word, "other") for word in split_words(text)])


def plain(colour="white", size=(40, 20)):
    return Image.new("RGB", size, colour)


def sheet(*rows, width=330, layout=LARGE):
    return sheets.draw_sheet(rows, [Column("one", width), Column("two", layout.side)], layout)


def colours(picture):
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.getcolors(1 << 20)}


def contrast_with_white(colour):
    parts = [part / 255 for part in ImageColor.getrgb(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 1.05 / (0.05 + float(np.dot([0.2126, 0.7152, 0.0722], linear)))


def test_words_are_coloured_and_readable():
    assert {GREEN, RED} <= colours(sheet([sentence()]))
    assert not {GREEN, RED} & colours(sheet([sentence("Keep it as it is.")]))
    for colour in (GREEN, RED, INK):
        assert contrast_with_white(colour) >= 4.5  # the threshold of the web's guidelines


def test_a_sentence_of_2000_words_stays_in_its_row():
    long, short = sheet([sentence("word " * 2000)]), sheet([sentence("word")])
    assert long.size == short.size
    assert (np.asarray(long)[-LARGE.gap :] == 255).all()


def test_labels_must_fit_the_words():
    with pytest.raises(AssertionError, match="1 labels for 10 words"):
        sheet([Sentence(SENTENCE, ["other"])])


def test_a_long_text_and_its_note_stay_beside_the_image():
    drawn = np.asarray(sheet([Text("très long " * 40, "kind")], width=190, layout=SMALL))
    text = drawn[SMALL.top :, 10:200]
    assert (text < 128).any(axis=2).sum() > 50
    assert (drawn[:, 200:206] == 255).all(), "the text runs into the next column"
    assert (drawn[SMALL.top + SMALL.side + SMALL.caption :] == 255).all()


def test_an_image_is_padded_and_framed_in_its_colour():
    picture = sheet([Picture(plain("blue"), GREEN), Picture(plain("blue"))], width=SMALL.side)
    for left, colour in ((LARGE.gap, GREEN), (LARGE.gap + SMALL.side + LARGE.gap, "white")):
        middle = left + LARGE.side // 2, LARGE.top + LARGE.side // 2
        assert picture.getpixel(middle) == ImageColor.getrgb("blue")
        assert picture.getpixel((middle[0], LARGE.top + 4)) == ImageColor.getrgb("#eaeef2")
        assert picture.getpixel((middle[0], LARGE.top - 2)) == ImageColor.getrgb(colour)


def test_a_note_is_written_over_the_image():
    blue = Picture(plain("blue", (9, 9)))
    assert sheet([replace(blue, note="rank 7")]) != sheet([blue])
    assert INK in colours(sheet([replace(blue, note="rank 7")]))


def test_long_captions_stay_under_their_images():
    named = Picture(plain("blue"), caption="a class of a name that is much too long")
    captions = np.asarray(sheet([named, named], width=82, layout=SMALL).convert("L"))
    dark = np.flatnonzero((captions[22 + 72 + 3 : 22 + 72 + 16] < 200).any(axis=0))
    gap = np.flatnonzero(np.diff(dark) > 5)
    assert dark[0] >= 10
    assert any(dark[g] < 10 + 82 <= dark[g + 1] + 2 for g in gap)  # the two captions do not meet
    assert dark[-1] <= 102 + 82


def test_a_sheet_grows_with_rows_and_columns():
    row = [Picture(plain()), Picture(plain())]
    one, two = sheet(row), sheet(row, row)
    assert two.height - one.height == LARGE.side + LARGE.gap
    assert sheet(row, width=340).width - one.width == 10


def test_a_sheet_without_rows_says_so():
    nothing = sheet()
    assert nothing.size == sheet([]).size
    assert (np.asarray(nothing)[: LARGE.top] < 200).any()
    assert (np.asarray(nothing)[LARGE.top :] == 255).all()
