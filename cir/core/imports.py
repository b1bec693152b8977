"""Follow the imports of this project's Python files without running them."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def imported_modules(path: Path, root: Path, packages: Iterable[str]) -> set[str]:
    """Return the modules of `packages` that a file imports itself, by dotted name.

    Imports inside functions count. `root` is the folder that holds the packages.
    """
    tops = set(packages)
    found = {name for name in imported_names(path, root) if name.split(".")[0] in tops}
    return {name for name in found if find_module(name, root) is not None}


def needed_modules(scripts: Iterable[Path], root: Path, packages: Iterable[str]) -> list[str]:
    """Return the modules of `packages` that the scripts import at any depth, sorted.

    The `__init__` of every package on the way counts too.
    """
    packages = tuple(packages)
    found: set[str] = set()
    waiting = [name for script in scripts for name in imported_modules(script, root, packages)]
    while waiting:
        name = waiting.pop()
        path = find_module(name, root)
        if name in found or path is None:
            continue
        found.add(name)
        waiting.extend(imported_modules(path, root, packages))
        waiting.append(name.rpartition(".")[0])
    return sorted(found)


def find_module(name: str, root: Path) -> Path | None:
    """Return the file of a module or package, or None if `root` holds no such module."""
    if not name:
        return None
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.parent / f"{base.name}.py"):
        if path.is_file():
            return path
    return None


def data_files(package: Path) -> list[Path]:
    """Return the files of a package's folder that are neither Python nor Markdown.

    Folders inside that are not packages belong to the package.
    """
    found = []
    for path in sorted(package.iterdir()):
        if path.is_file() and path.suffix not in (".py", ".pyc", ".md"):
            found.append(path)
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            inside = (p for p in sorted(path.rglob("*")) if "__pycache__" not in p.parts)
            found += [p for p in inside if p.is_file()]
    return found


def imported_names(path: Path, root: Path) -> Iterator[str]:
    """Yield every name in the import statements of a file that may be a module.

    `root` is the folder in which the file's own package lies: relative imports are resolved there.
    """
    module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = module.split(".")
                package = package[: len(package) - node.level + (path.name == "__init__.py")]
                source = ".".join([*package, *source.split(".")]).strip(".")
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
