"""Images for the tests of the page: plain ones and pairs of colours, and names that bite."""

import os
from contextlib import contextmanager
from itertools import permutations

from cir.app.service import SearchService
from cir.datasets.sources import open_source
from tests.helpers.fake_search_model import FakeSearchModel, plain
from tests.helpers.search_app import filled_store, png

COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "white")
NASTY = '<img src=x onerror="document.title=1">&amp;'  # the name of a file and its tag
NOT_UTF8 = os.fsdecode(b"caf\xe9")  # the name of a folder
PAGE = 24


def picture(above, below, size=(32, 32)):
    """The one colour above the other."""
    image = plain(above, size)
    image.paste(plain(below, (size[0], size[1] // 2)), (0, size[1] // 2))
    return image


def write_gallery(folder):
    """51 PNGs: plain/COLOUR, ABOVE/ABOVE over BELOW, and two with nasty names."""
    images = {f"plain/{colour}": plain(colour, (32, 32)) for colour in COLOURS}
    for above, below in permutations(COLOURS, 2):
        images[f"{above}/{above} over {below}"] = picture(above, below)
    images[NASTY] = picture("orange", "black")
    images[f"{NOT_UTF8}/grey"] = picture("grey", "black")
    for name, image in images.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    return len(images)


@contextmanager
def gallery_service(folder, empty=False, has_tagger=True):
    """A service over the gallery, or over an index without any image; with a tagger or without."""
    (folder / "images").mkdir(exist_ok=True)
    if not empty:
        write_gallery(folder / "images")
    model = FakeSearchModel(has_tagger=has_tagger)
    source = open_source(f"folder:{folder / 'images'}")
    with filled_store(folder / "store", source, model) as store:
        service = SearchService(model, store, source)
        try:
            yield service
        finally:
            service.close()
