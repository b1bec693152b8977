"""Take the pictures of docs/app.md; none is missing or too large."""

import asyncio
import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cir.app.service import Search
from cir.core.errors import UserError
from tests.helpers.page_gallery import gallery_service
from tests.helpers.search_app import ids
from tools import app_screenshots
from tools.app_screenshots import LARGEST, composed, served, smaller, take

pytestmark = pytest.mark.recipes
TEXT = "add yellow and remove the red"


def png(pixels):
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    return packed.getvalue()


def test_noise_is_made_small():
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)
    packed = smaller(png(noise))
    assert len(png(noise)) > 4 * LARGEST
    assert len(packed) <= LARGEST
    assert Image.open(io.BytesIO(packed)).size == (600, 400)


def test_few_colours_stay_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 6, (40, 60, 3), np.uint8) * 51
    unchanged = Image.open(io.BytesIO(smaller(png(pixels)))).convert("RGB")
    assert np.array_equal(np.asarray(unchanged), pixels)


def test_the_sentence_of_the_picture_is_read_right_and_finds_its_target(tmp_path, monkeypatch):
    def asked(target, text, add=("yellow",)):
        names = {"add": add, "remove": ["red"], "text": text}
        return {"reference": "red/red over blue.png", "target": target, **names}

    monkeypatch.setattr(app_screenshots, "GALLERY", tmp_path)
    with gallery_service(tmp_path) as service:
        start = ids(service)["red over blue"]
        found = asyncio.run(service.search(Search(text=TEXT, image_id=start))).hits
        right, wrong = found[0].image.paths[0], found[1].image.paths[0]
        rows = [
            asked(wrong, TEXT),
            asked(right, TEXT, add=["yellow", "cyan"]),
            asked(right, TEXT, add=["cyan"]),
            asked(right, f"{TEXT}, {'please ' * 10}"),
            asked(right, f"Please {TEXT}"),
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "triplets.parquet")
        assert composed(service) == (start, f"Please {TEXT}")
        pq.write_table(pa.Table.from_pylist(rows[:-1]), tmp_path / "triplets.parquet")
        with pytest.raises(UserError, match=r"no sentence of .* finds its target"):
            composed(service)


@pytest.mark.skipif(
    not any(map(shutil.which, app_screenshots.BROWSERS)), reason="no chromium on PATH"
)
def test_pictures_of_a_running_app(tmp_path):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with gallery_service(tmp_path) as service, served(service) as address:
        start = ids(service)["red over blue"]
        pictures = take(address, start, TEXT)
    sizes = {name: Image.open(io.BytesIO(picture)).size for name, picture in pictures.items()}
    assert sizes == {
        "app_words.png": (1080, 660),
        "app_composed.png": (1080, 660),
        "app_phone.png": (390, 780),
    }
    corners = {
        name: Image.open(io.BytesIO(picture)).convert("L").getpixel((2, 2))
        for name, picture in pictures.items()
    }
    assert corners["app_phone.png"] < 40 < 200 < corners["app_words.png"]
    assert pictures["app_words.png"] != pictures["app_composed.png"]
