"""Write the submission's folder, and try it before it appears."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cir.core import files, imports
from cir.core.errors import UserError
from cir.retrieval.retriever import Retriever
from cir.retrieval.submission import sources
from cir.retrieval.submission.weights_file import take_apart

MOST_BYTES = 4 * 10**9
_TEMPLATES = Path(__file__).resolve().parent / "folder"
_ROOT = _TEMPLATES.parents[3]
_TRIAL = """
import sys
import numpy as np, pandas as pd
sys.path.insert(0, sys.argv[1])
from generate_embeds import encode_database, encode_queries
frame = pd.read_csv("trial.csv")
np.savez("trial.npz", queries=encode_queries(frame), database=encode_database(frame))
"""


def export(encoder: Path, tagger: Path, folder: Path, batch_size: int) -> int:
    """Write the submission for a trained encoder and tagger to `folder`; return its size in bytes.

    Before the folder appears, it runs in a process of its own, from another working directory and
    without this repository, and must give the retriever's vectors. Raises UserError if it is
    larger than the contest allows.
    """
    retriever = Retriever.load(encoder, tagger, batch_size)
    with files.whole_folder(folder) as unfinished:
        _copy_code(unfinished)
        take_apart(encoder, tagger, batch_size, unfinished)
        size = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
        if size > MOST_BYTES:
            raise UserError(
                f"the submission takes {size / 1e9:.2f} GB and the contest allows "
                f"{MOST_BYTES / 1e9:.0f} GB: choose a smaller encoder"
            )
        _try(unfinished, retriever)
    return size


def _copy_code(folder: Path) -> None:
    scripts = [_TEMPLATES / name for name in ("model.py", "generate_embeds.py")]
    modules = imports.needed_modules(scripts, _ROOT, [sources.PACKAGE])
    package = sources.runtime_name(modules, _ROOT)
    sources.copy_renamed(modules, _ROOT, folder, package)
    for script in scripts:
        sources.copy_script(script, folder / script.name, package)
    shutil.copyfile(_TEMPLATES / "README.md", folder / "README.md")
    lines = sources.requirements(folder)
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _try(folder: Path, retriever: Retriever) -> None:
    """Compare the folder's vectors for three images and sentences with the retriever's."""
    rng = np.random.default_rng(0)
    size = (48, 64, 3)
    shown = [Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)) for _ in range(3)]
    texts = ["Remove the hat.", "Add a cup and a red ball.", "Swap the dog for a watering can."]
    with tempfile.TemporaryDirectory() as place:
        names = [f"{number}.png" for number in range(len(shown))]
        for image, name in zip(shown, names, strict=True):
            image.save(Path(place, name))
        frame = pd.DataFrame({"query_image": names, "query_text": texts, "target_image": names})
        frame.to_csv(Path(place, "trial.csv"), index=False)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment.pop("IMAGE_ROOT", None)
        ran = subprocess.run(
            [sys.executable, "-I", "-B", "-c", _TRIAL, str(folder.resolve())],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"the submission does not run by itself:\n{ran.stderr}"
        found = np.load(Path(place, "trial.npz"))
        expected = {
            "queries": retriever.encode_queries(shown, texts),
            "database": retriever.encode_gallery(shown),
        }
        for name, vectors in expected.items():
            apart = float(np.abs(found[name] - vectors).max())
            # The trial may run on a GPU where this process did not.
            assert apart < 1e-3, f"the submission's {name} differ by up to {apart:.2g}"
