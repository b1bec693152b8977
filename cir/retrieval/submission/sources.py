"""Which modules a script of this package needs, and their sources under another package's name."""

import ast
import re
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version
from pathlib import Path

PACKAGE = "cir"
RENAMED = "cir_runtime"
DATA_SUFFIXES = (".json", ".txt")


def needed_modules(scripts: Iterable[Path], root: Path) -> list[str]:
    """The modules of the package that the scripts import, directly or not, by dotted name.

    `root` is the folder that holds the package. Imports inside functions count, and so does the
    `__init__` of every package on the way.
    """
    found: set[str] = set()
    waiting = [name for script in scripts for name in _imported(script, root)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imported(_file_of(name, root), root))
            if "." in name:
                waiting.append(name.rpartition(".")[0])
    return sorted(found)


def copy_renamed(modules: Iterable[str], root: Path, folder: Path) -> None:
    """Copy the modules, and the data files of their packages, into `folder` under RENAMED."""
    for name in modules:
        source = _file_of(name, root)
        copy_script(source, folder / _renamed_path(source, root))
        if source.name == "__init__.py" and name != PACKAGE:
            for data in source.parent.rglob("*"):
                if data.suffix in DATA_SUFFIXES:
                    destination = folder / _renamed_path(data, root)
                    destination.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(data, destination)


def copy_script(source: Path, destination: Path) -> None:
    """Copy a Python file with its imports of the package turned to RENAMED."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text(_renamed(source), encoding="utf-8")


def requirements(scripts: Iterable[Path]) -> list[str]:
    """ "name==version", as installed here, of every distribution that the files import."""
    imported: set[str] = set()
    for script in scripts:
        for node in ast.walk(_tree(script)):
            if isinstance(node, ast.Import):
                imported.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    providers = packages_distributions()
    outside = imported - set(sys.stdlib_module_names) - {PACKAGE, RENAMED}
    names = {name for module in outside for name in providers.get(module, [])}
    # A local build, such as 2.13.0+cpu, is not to be had everywhere; the release is.
    return sorted(f"{name}=={version(name).split('+')[0]}" for name in names)


def _imported(script: Path, root: Path) -> set[str]:
    """The modules of the package that this file imports."""
    names: set[str] = set()
    for node in ast.walk(_tree(script)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module):
            names.add(node.module)
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(name for name in inside if _find(name, root))
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{script}: relative import"
    return names


def _renamed(source: Path) -> str:
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            before = lines[node.lineno - 1]
            lines[node.lineno - 1] = re.sub(rf"\bfrom {PACKAGE}\b", f"from {RENAMED}", before)
        elif isinstance(node, ast.Import):
            ours = [alias.name for alias in node.names if _is_ours(alias.name)]
            assert not ours, f"{source}: write `from {PACKAGE} import ...`, which can be renamed"
    return "".join(lines)


def _renamed_path(path: Path, root: Path) -> Path:
    return Path(RENAMED, *path.relative_to(root / PACKAGE).parts)


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == PACKAGE


def _file_of(name: str, root: Path) -> Path:
    found = _find(name, root)
    assert found, f"there is no module {name} in {root}"
    return found


def _find(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    candidates = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _tree(script: Path) -> ast.Module:
    return ast.parse(script.read_text(encoding="utf-8"), str(script))
