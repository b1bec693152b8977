"""The files of this repository that a stage runs, found by following its imports.

`python -m tools.code_deps` writes them into the `deps` of dvc.yaml; the other deps stay.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
CODE = ("cir", "stages")


def code_deps(stage: str, root: Path = ROOT) -> list[str]:
    """The files that `python -m stages.<stage>` may read as code, sorted, relative to `root`.

    They are every module that is imported at any depth, within functions too, the packages that
    contain them, and the data files that lie within those packages; what is written about a
    package, in Markdown beside its modules, is none.
    """
    todo = [f"stages.{stage}"]
    modules: set[str] = set()
    files: set[Path] = set()
    while todo:
        module = todo.pop()
        path = _module_file(module, root)
        if module in modules or path is None:
            continue
        modules.add(module)
        files.add(path)
        if path.name == "__init__.py":
            files.update(_files_beside(path.parent))
        todo.extend(_imports(module, path))
        todo.append(module.rpartition(".")[0])
    return sorted(file.relative_to(root).as_posix() for file in files)


def by_folder(deps: list[str]) -> list[str]:
    """The same with each package inside CODE's as one folder, whatever else lies in it.

    For stages of many items: dvc.lock repeats their deps for each, and DVC writes all of it after
    every stage of the pipeline.
    """
    return sorted({"/".join(dep.split("/")[:2]) for dep in deps})


def imported_modules(path: Path, root: Path = ROOT) -> set[str]:
    """The modules of this repository that a file imports itself, packages by their name."""
    relative = path.relative_to(root).with_suffix("")
    module = ".".join(relative.parts).removesuffix(".__init__")
    return {name for name in _imports(module, path) if _module_file(name, root) is not None}


def _imports(module: str, path: Path) -> Iterator[str]:
    """Every name that may be a module in the import statements of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


def _module_file(module: str, root: Path) -> Path | None:
    if module.split(".")[0] not in CODE:
        return None
    base = root.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _files_beside(package: Path) -> Iterator[Path]:
    """What a package may read: its files that are no modules, and folders that are no packages."""
    for path in package.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc", ".md"):
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from (p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc")


def is_code(dep: str) -> bool:
    """Whether a dep of dvc.yaml is one that `code_deps` is in charge of."""
    return dep.split("/")[0] in CODE


def main() -> None:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 100
    path = ROOT / "dvc.yaml"
    pipeline = yaml.load(path)
    for name, entry in pipeline["stages"].items():
        stage = entry.get("do", entry)  # of a foreach stage, what each of its items does
        others = [dep for dep in stage.get("deps", []) if not is_code(dep)]
        code = code_deps(name)
        stage["deps"] = [*others, *(by_folder(code) if stage is not entry else code)]
    yaml.dump(pipeline, path)


if __name__ == "__main__":
    main()
