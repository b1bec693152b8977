"""A folder with tiny models and images, and a serving process in it."""

import contextlib
import os
import re
import subprocess
import sys

from cir.composers.model import EncodedComposer
from cir.edits.models import fresh_model
from cir.edits.params import FromScratch
from tests.helpers import ROOT
from tests.helpers.composers import arithmetic
from tests.helpers.search_app import write_colours


def make_place(place, encoder):
    """Write models/encoder, models/tagger and images/ into the folder `place`, and return it."""
    for name in ("encoder", "tagger"):
        (place / "models" / name).mkdir(parents=True)
    EncodedComposer(encoder, arithmetic()).save(place / "models" / "encoder")
    size = FromScratch(layers=1, width=16, heads=2, hidden=32, dropout=0.0, longest=32)
    for part in fresh_model(size, ["add", "red"], seed=3):
        part.save_pretrained(place / "models" / "tagger")
    write_colours(place / "images", ("red", "green"))
    return place


@contextlib.contextmanager
def serving(folder, *arguments, command=(sys.executable, "-m", "cir"), path=str(ROOT)):
    """Serve in `folder`; yield the process and the address once it says that it is ready."""
    command = [*command, "serve", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path, "CIR_TOKEN": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as running:
        told = ""
        while not (address := re.search(r"open (http://\S+)/", told)):
            line = running.stderr.readline()
            assert line, f"it ended: {told}"
            told += line
        try:
            yield running, address[1]
        finally:
            running.kill()
