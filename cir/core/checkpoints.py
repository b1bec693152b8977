"""Name the folder of checkpoints with which an interrupted stage resumes."""

import os
from pathlib import Path
from typing import Any

from cir.core.files import fingerprint


def checkpoint_folder(name: str, *parts: Any) -> Path:
    """Make and return the folder for the checkpoints of the step `name`.

    The folder's name contains the fingerprint of `parts` (params, inputs and code files), so a step
    never resumes from the checkpoint of other params or other code. The folder lies in
    $CIR_CHECKPOINTS, by default .checkpoints in the current folder. That is outside DVC's outputs,
    which DVC deletes before a step starts. Several runs may share the folder, so a run holds it
    with `exclusive` and removes it at the end.
    """
    base = Path(os.environ.get("CIR_CHECKPOINTS") or ".checkpoints").resolve()
    folder = base / f"{name}-{fingerprint(*parts)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
