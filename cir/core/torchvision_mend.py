"""Let torchvision import beside a torch build that its compiled operators do not match.

A CPU build of torch beside PyPI's torchvision cannot load torchvision's compiled library, and
`import torchvision` then fails while it registers shape rules for operators that nobody declared.
open_clip, timm and transformers all import torchvision. We use none of its compiled operators
(images are decoded by Pillow), so declaring the two schemas is enough for the import.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_kept_alive: list[torch.library.Library] = []  # the declarations vanish with the object


def declare_missing() -> None:
    """Declare torchvision's operator schemas where its compiled library cannot be loaded."""
    if _kept_alive or _compiled_library_loads():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS.values():
        library.define(schema)
    _kept_alive.append(library)


def _compiled_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True  # nothing to mend; the import itself will say what is missing
    folder = Path(next(iter(spec.submodule_search_locations)))
    for library in [*folder.glob("_C*.so"), *folder.glob("_C*.pyd"), *folder.glob("_C*.dylib")]:
        try:
            torch.ops.load_library(str(library))
        except (OSError, RuntimeError):
            return False
        return True
    return False
