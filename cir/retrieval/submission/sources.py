"""Copy modules of this package to another package name, and list what they need installed."""

import ast
import re
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version
from pathlib import Path

from cir.core.imports import data_files, find_module, imported_names

PACKAGE = "cir"
RENAMED = "cir_runtime"
DATA_SUFFIXES = (".json", ".txt")


def copy_renamed(modules: Iterable[str], root: Path, folder: Path) -> None:
    """Copy the modules and the data files of their packages into `folder`, as package RENAMED.

    `root` is the folder that holds the package PACKAGE; `modules` are dotted names.
    """
    for name in modules:
        source = find_module(name, root)
        assert source is not None, f"{root} holds no module {name}"
        copy_script(source, folder / _renamed_path(source, root))
        inside = data_files(source.parent) if source.name == "__init__.py" else []
        for data in (path for path in inside if path.suffix in DATA_SUFFIXES):
            destination = folder / _renamed_path(data, root)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data, destination)


def copy_script(source: Path, destination: Path) -> None:
    """Copy a Python file, whose imports from PACKAGE become imports from RENAMED."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    for node in ast.walk(ast.parse("".join(lines), str(source))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source}: relative import"
            if _is_ours(node.module):
                before = lines[node.lineno - 1]
                lines[node.lineno - 1] = re.sub(rf"\bfrom {PACKAGE}\b", f"from {RENAMED}", before)
        elif isinstance(node, ast.Import):
            ours = [alias.name for alias in node.names if _is_ours(alias.name)]
            assert not ours, f"{source}: write `from {PACKAGE} import ...`, which can be renamed"
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text("".join(lines), encoding="utf-8")


def requirements(folder: Path) -> list[str]:
    """List the distributions that the Python files below `folder` import, as "name==version".

    The versions are those installed here.
    """
    imported = {
        name.split(".")[0] for path in folder.rglob("*.py") for name in imported_names(path, folder)
    }
    providers = packages_distributions()
    outside = imported - set(sys.stdlib_module_names) - {RENAMED}
    names = {name for module in outside for name in providers.get(module, [])}
    # A local build such as 2.13.0+cpu is not published everywhere; its release is.
    return sorted(f"{name}=={version(name).split('+')[0]}" for name in names)


def _renamed_path(path: Path, root: Path) -> Path:
    return Path(RENAMED, *path.relative_to(root / PACKAGE).parts)


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == PACKAGE
