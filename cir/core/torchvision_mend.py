"""Make torchvision importable beside a build of torch that its compiled operators do not match.

PyPI's torchvision cannot load its compiled library beside a CPU build of torch. `import
torchvision` then fails, because it registers shape rules for operators that are not declared.
open_clip, timm and transformers all import torchvision. This project uses none of the compiled
operators (Pillow decodes the images), so declaring their two schemas is enough.
"""

import sys
from importlib.machinery import PathFinder

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept_alive: list[object] = []  # torch forgets the declarations when their library is deleted


class _DeclareFirst:
    """Declares the schemas when torchvision is first looked for, and leaves finding it to others.

    It goes into sys.meta_path. The base class in importlib.abc would double the time of
    `import cir`.
    """

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            # The import system is iterating over the old list, so the list is not changed.
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            _declare_missing()
        return


def install() -> None:
    """Arrange for the schemas to be declared when torchvision is first imported.

    `import cir` calls this. torch is imported only together with torchvision.
    """
    if "torchvision" not in sys.modules:
        sys.meta_path.insert(0, _DeclareFirst())


def _declare_missing() -> None:
    """Declare torchvision's operators if its compiled library cannot be loaded."""
    import torch  # it takes seconds, which `import cir` must not

    if _compiled_library_loads(torch):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept_alive.append(library)


def _compiled_library_loads(torch) -> bool:
    from pathlib import Path

    spec = PathFinder.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True  # the import of torchvision will say what is missing
    folder = Path(next(iter(spec.submodule_search_locations)))
    for library in [*folder.glob("_C*.so"), *folder.glob("_C*.pyd"), *folder.glob("_C*.dylib")]:
        try:
            torch.ops.load_library(str(library))
        except (OSError, RuntimeError):
            return False
        return True
    return False
