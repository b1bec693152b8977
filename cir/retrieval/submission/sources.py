"""Copy modules of this package to another package name, and list what they need installed."""

import ast
import hashlib
import re
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version
from pathlib import Path

from cir.core.imports import data_files, find_module, imported_names

PACKAGE = "cir"
RENAMED = "cir_runtime_"  # a digest follows
DATA_SUFFIXES = (".json", ".txt")


def runtime_name(modules: Iterable[str], root: Path) -> str:
    """Return the package name for copies of the modules: RENAMED and a digest of their sources.

    Two exports in one process share a package only if its code is the same.
    """
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(name.encode() + b"\0" + _source(name, root).read_bytes())
    return f"{RENAMED}{digest.hexdigest()[:8]}"


def copy_renamed(modules: Iterable[str], root: Path, folder: Path, package: str) -> None:
    """Copy the modules and the data files of their packages into `folder`, as package `package`.

    `root` is the folder that holds the package PACKAGE; `modules` are dotted names.
    """
    for name in modules:
        source = _source(name, root)
        copy_script(source, _renamed_path(source, root, folder / package), package)
        inside = data_files(source.parent) if source.name == "__init__.py" else []
        for data in (path for path in inside if path.suffix in DATA_SUFFIXES):
            destination = _renamed_path(data, root, folder / package)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data, destination)


def copy_script(source: Path, destination: Path, package: str) -> None:
    """Copy a Python file, whose imports from PACKAGE become imports from `package`."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    for node in ast.walk(ast.parse("".join(lines), str(source))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source}: relative import"
            if _is_ours(node.module):
                before = lines[node.lineno - 1]
                lines[node.lineno - 1] = re.sub(rf"\bfrom {PACKAGE}\b", f"from {package}", before)
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
    outside = {name for name in imported if not name.startswith(RENAMED)}
    outside -= set(sys.stdlib_module_names)
    names = {name for module in outside for name in providers.get(module, [])}
    # A local build such as 2.13.0+cpu is not published everywhere; its release is.
    return sorted(f"{name}=={version(name).split('+')[0]}" for name in names)


def _source(name: str, root: Path) -> Path:
    source = find_module(name, root)
    assert source is not None, f"{root} holds no module {name}"
    return source


def _renamed_path(path: Path, root: Path, package: Path) -> Path:
    return package / path.relative_to(root / PACKAGE)


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == PACKAGE
