"""Take the screenshots of the search app for docs/app.md: python -m tools.app_screenshots [FOLDER]

They show the page over the drawn gallery, searched with the models that `make repro` has trained.
Needs Chromium (make browsers).
"""

import asyncio
import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from cir.app import search_model
from cir.app.application import create_app
from cir.app.indexing import indexed_store
from cir.app.service import Search, SearchService
from cir.app.web import server
from cir.core.errors import UserError
from cir.core.files import whole_file
from cir.core.progress import say
from cir.datasets.sources import ShardSource

GALLERY = Path("data/retrieval/test")
MODEL, TAGGER = "models/text_search", "models/tagger"
PICTURES = Path("metrics/pictures")
WORDS = "a purple fish"
LARGEST = 150_000  # bytes per picture
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = "--headless --no-sandbox --disable-gpu --hide-scrollbars".split()
WIDE = {"viewport": {"width": 1080, "height": 660}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark", "is_mobile": True}


@contextmanager
def drawn_gallery() -> Iterator[SearchService]:
    """Index the drawn test images into a temporary store, and yield a service over them."""
    source, model = ShardSource(GALLERY), search_model.load(MODEL, TAGGER)
    with (
        tempfile.TemporaryDirectory() as folder,
        indexed_store(str(Path(folder, "store")), source, model) as (store, _),
    ):
        service = SearchService(model, store, source)
        try:
            yield service
        finally:
            service.close()


@contextmanager
def served(service: SearchService) -> Iterator[str]:
    """Serve the app of a service on a free port, and yield its address."""
    listening, stopping = server.listen("127.0.0.1", 0), server.Stopping()
    serve = partial(server.serve, create_app(service), listening, stopping=stopping)
    work = threading.Thread(target=serve)
    work.start()
    try:
        yield server.address_of(listening)
    finally:
        stopping.stop()
        work.join()


def composed(service: SearchService) -> tuple[str, str]:
    """Find an image id and a sentence (one addition, one removal) whose answer is right."""
    ids = {path: image.id for image in service.store.images() for path in image.paths}
    for triplet in pq.read_table(GALLERY / "triplets.parquet").to_pylist():
        names, text = [*triplet["add"], *triplet["remove"]], triplet["text"]
        if len(triplet["add"]) != 1 or len(triplet["remove"]) != 1 or len(text) > 60:
            continue
        answer = asyncio.run(service.search(Search(text=text, image_id=ids[triplet["reference"]])))
        edit = answer.tagged.edit
        right = ids[triplet["target"]] == answer.hits[0].image.id
        if right and [*edit.add, *edit.remove] == names:
            return ids[triplet["reference"]], text
    raise UserError(f"no sentence of {GALLERY} with one addition and one removal finds its target")


def found_browser() -> str:
    """Return the path of Chromium; raise UserError if there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UserError("no chromium was found on PATH: install it with make browsers")
    return found


def take(address: str, image_id: str, text: str) -> dict[str, bytes]:
    """Search at this address in Chromium; return PNGs by file name."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found_browser(), args=OPTIONS)
        page = browser.new_context(**WIDE).new_page()

        def search(words: str) -> None:
            page.fill("#q", words)
            with page.expect_response("**/page/search"):
                page.keyboard.press("Enter")
            page.wait_for_load_state("networkidle")

        page.goto(address)
        search(WORDS)
        pictures = {"app_words.png": page.screenshot()}
        page.goto(f"{address}?image_id={image_id}")
        search(text)
        pictures["app_composed.png"] = page.screenshot()
        page = browser.new_context(**PHONE).new_page()
        page.goto(f"{address}?q={WORDS.replace(' ', '+')}")
        page.wait_for_load_state("networkidle")
        pictures["app_phone.png"] = page.screenshot()
        browser.close()
    return pictures


def smaller(picture: bytes) -> bytes:
    """Reduce the colours of a PNG until it fits into LARGEST bytes."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in (256, 128, 96, 64, 48, 32, 16):
        packed = io.BytesIO()
        reduced = image.quantize(colours, dither=Image.Dither.NONE)
        reduced.save(packed, "PNG", optimize=True)
        if packed.tell() <= LARGEST:
            break
    return packed.getvalue()


def main(folder: Path = PICTURES) -> None:
    with drawn_gallery() as service:
        image_id, text = composed(service)
        with served(service) as address:
            pictures = take(address, image_id, text)
    for name, picture in pictures.items():
        with whole_file(folder / name) as unfinished:
            unfinished.write_bytes(smaller(picture))
        say(f"{folder / name}: {(folder / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
