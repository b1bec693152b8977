"""The benchmark of the page sees results and thumbnails come, and notes when."""

import shutil
import time

import pytest

from cir.app import api
from speed.page import times_of_page
from speed.workload import Workload
from tests.helpers.page_gallery import gallery_service
from tests.helpers.search_app import running
from tools import app_screenshots

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.skipif(
        not any(map(shutil.which, app_screenshots.BROWSERS)), reason="no chromium on PATH"
    ),
]
SLOW = 0.3  # seconds


def test_times_of_the_page(tmp_path, monkeypatch):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    texts = ["add red", "add blue", "add green"]
    get = api.Thumbnails.get
    monkeypatch.setattr(api.Thumbnails, "get", lambda *asked: time.sleep(SLOW) or get(*asked))
    with gallery_service(tmp_path) as service, running(service) as address:
        times = times_of_page(f"{address}/", Workload([], [], texts, []))
    assert list(times) == ["by words", "by an image and a sentence"]
    assert [one.shape for one in times.values()] == [(2, 2), (2, 2)]
    for painted, whole in (pair for one in times.values() for pair in one):
        assert 0 < painted < whole
    painted, whole = times["by words"][0]  # blue images, of which few were seen before
    assert whole - painted > 900 * SLOW
