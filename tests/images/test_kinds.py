"""Every format in every mode and depth has the right pixels, whole, cut, and with more behind."""

import numpy as np
import pytest

from cir.core.errors import UserError
from cir.images import decoding
from tests.helpers.image_kinds import kinds

KINDS = {kind.name: kind for kind in kinds()}
BEHIND = [b"\0", bytes(300), bytes((167 * number) % 251 for number in range(300)), b"\xff\xd9"]


def same(data, kind):
    shown = np.asarray(decoding.decode(data, "sample"))
    assert shown.shape == kind.pixels.shape
    return np.abs(shown - kind.pixels.astype(float)).max() <= kind.tolerance


def test_there_are_kinds_of_every_format():
    formats = {decoding.header(kind.data, name).format for name, kind in KINDS.items()}
    assert formats == {*decoding.FORMATS} - {"HEIF"}  # which tests/images/test_heif.py has
    assert len(KINDS) == len(kinds()) > 150


@pytest.mark.parametrize("name", KINDS)
def test_the_pixels_are_right_whatever_lies_behind_them(name, tmp_path):
    kind = KINDS[name]
    plain_text = kind.data[:2] in (b"P1", b"P2", b"P3")
    for behind in (b"", b"\n") if plain_text else (b"", *BEHIND):
        assert same(kind.data + behind, kind)
    (tmp_path / "sample").write_bytes(kind.data)
    assert same(tmp_path / "sample", kind)
    assert decoding.upright_size(kind.data, "a") == kind.pixels.shape[1::-1]


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_file_is_refused_or_has_all_its_pixels(name):
    kind = KINDS[name]
    ends = np.linspace(0, len(kind.data) - 1, 20).astype(int)
    refused = 0
    for end in ends:
        try:
            assert same(kind.data[:end], kind), f"cut at {end} of {len(kind.data)}"
        except UserError as error:
            assert str(error).startswith("image sample ")  # noqa: PT017
            refused += 1
    assert refused > 3
