"""A project that a module's tests made once, copied for a test that changes it."""

import shutil


def work_in_copy(made, tmp_path, monkeypatch):
    """Copy the folder, go there, and forget what the environment says of checkpoints and ranks."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    for name in ("CIR_CHECKPOINTS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return folder
