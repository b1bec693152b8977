"""The shape of the code: layers, stages, sizes."""

import ast
import re

import pytest

from tests.helpers import ROOT
from tools.code_deps import imported_modules

LIBRARY = sorted((ROOT / "cir").rglob("*.py"))
STAGES = sorted(path for path in (ROOT / "stages").glob("*.py") if not path.stem.startswith("_"))
FOLDERS = ("speed", "cir", "stages", "tools")
ALL_CODE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 60


def layers():
    """Name in cir → its place in the map, cir/README.md: from top to bottom, left to right."""
    text = (ROOT / "cir" / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    columns = [re.split(r" {2,}", line)[0] for line in table.splitlines()]
    names = [name.strip() for column in columns for name in column.split(",") if name.strip()]
    assert len(names) == len(set(names))
    return {name: place for place, name in enumerate(names)}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def part_of(module):
    """The top-level name in cir of "cir.part.inner", or None for cir itself and other code."""
    names = module.split(".")
    return names[1] if names[0] == "cir" and len(names) > 1 else None


def test_the_map_names_exactly_the_parts_of_the_library():
    parts = {path.relative_to(ROOT / "cir").parts[0].removesuffix(".py") for path in LIBRARY}
    parts -= {"__init__", "__main__"}
    assert parts == layers().keys() - {"stages"}


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_imports_point_down_or_right_only(path):
    level = layers()
    own = path.relative_to(ROOT / "cir").parts[0].removesuffix(".py")
    imported = imported_modules(path)
    assert not {module for module in imported if module.split(".")[0] != "cir"}
    if own == "__main__":
        return  # the command line may use everything
    parts = {part_of(module) for module in imported} - {None, own}
    if own == "__init__":
        assert parts == {"torchvision_ops"}
        return
    upwards = {part for part in parts if level[part] <= level[own]}
    assert not upwards, f"{own} imports {upwards}: above it, or left, in cir/README.md"


def test_datasets_do_not_know_of_their_alternatives():
    """A folder holds alternatives: only the package itself may list them."""
    names = ("contest", "coco")
    alternatives = {ROOT / "cir/datasets" / f"{name}.py" for name in names}
    modules = {f"cir.datasets.{name}" for name in names}
    for path in alternatives:
        others = modules - {f"cir.datasets.{path.stem}"}
        assert not imported_modules(path) & others


def test_the_library_knows_nothing_of_the_pipeline():
    for path in LIBRARY:
        text = path.read_text(encoding="utf-8")
        strings = {
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        paths = {s for s in strings if re.match(r"(metrics|models|data|export)/\S+$", s)}
        assert not paths, f"{relative(path)} holds paths of the pipeline: {paths}"
        assert "params.yaml" not in strings


@pytest.mark.parametrize("path", ALL_CODE, ids=relative)
def test_files_and_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_the_library_does_not_print(path):
    """The library reports through cir.core.progress, which keeps bars whole; commands print."""
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    prints = any(ast.unparse(call.func) == "print" for call in calls)
    assert not prints or path.name == "__main__.py"


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_stage_is_a_script_that_runs_main(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert {"Params", "main"} <= defined
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    run(main)"
    others = {m for m in imported_modules(path) if m.startswith("stages.")}
    others = {module for module in others if not module.startswith("stages._")}  # shared, no stage
    assert not others, "stages meet in files, not in code"


def test_tests_are_flat():
    """A folder tests/datasets would shadow the package `datasets`."""
    assert [p for p in (ROOT / "tests").rglob("*.py") if p.parent != ROOT / "tests"] == []
