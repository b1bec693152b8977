"""The shape of the code: which package may import which, and what a stage is."""

import ast
import re

import pytest

from cir.core.imports import imported_modules
from tests.helpers import ROOT

LIBRARY = sorted((ROOT / "cir").rglob("*.py"))
STAGES = sorted(
    p for p in (ROOT / "stages").rglob("*.py") if p.stem not in ("__init__", "run", "params")
)
# From the top down; an import points down. Packages on one line do not import each other.
FLOORS = """
    commands
    report
    text_search published classes
    app
    training
    retrieval
    datasets composers
    drawing
    encoders
    edits
    images
    core
"""
LEVEL = {name: number for number, line in enumerate(FLOORS.split("\n")) for name in line.split()}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def package_of(module):
    """The top-level name in cir of "cir.package.inner", or None for cir itself."""
    names = module.split(".")
    return names[1] if len(names) > 1 else None


def test_cir_is_made_of_packages():
    modules = {path.name for path in (ROOT / "cir").glob("*.py")}
    assert modules == {"__init__.py", "__main__.py"}
    packages = {path.parent.name for path in (ROOT / "cir").glob("*/__init__.py")}
    assert packages == LEVEL.keys()
    assert len(packages) <= 15


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_imports_point_down_only(path):
    imported = imported_modules(path, ROOT, ("cir", "stages", "speed", "tools", "tests"))
    assert not {module for module in imported if module.split(".")[0] != "cir"}
    own = path.relative_to(ROOT / "cir").parts[0]
    packages = {package_of(module) for module in imported} - {None, own}
    if own == "__main__.py":
        assert packages <= {"commands", "core"}
    elif own == "__init__.py":
        assert packages == {"core"}
    else:
        upwards = {name for name in packages if LEVEL[name] <= LEVEL[own]}
        assert not upwards, f"{own} imports {upwards}, which lies above it or beside it"


def test_datasets_do_not_know_of_their_alternatives():
    """A folder holds alternatives: only the package itself may list them."""
    names = ("contest", "coco")
    modules = {f"cir.datasets.{name}" for name in names}
    for name in names:
        others = modules - {f"cir.datasets.{name}"}
        path = ROOT / "cir/datasets" / f"{name}.py"
        assert not imported_modules(path, ROOT, ["cir"]) & others


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


@pytest.mark.parametrize("path", LIBRARY, ids=relative)
def test_the_library_does_not_print(path):
    """The library reports through cir.core.progress, which keeps bars whole; commands print."""
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    prints = any(ast.unparse(call.func) == "print" for call in calls)
    own = path.relative_to(ROOT / "cir").parts[0]
    assert not prints or own in ("__main__.py", "commands")


@pytest.mark.parametrize("path", STAGES, ids=relative)
def test_a_stage_is_a_script_that_runs_main(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert {"Params", "main"} <= defined
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    run(main)"
    others = imported_modules(path, ROOT, ["stages"])
    shared = {"stages", "stages.params", "stages.run"}
    assert others <= shared, "stages meet in files, not in code"


def test_params_and_results_are_declared_once():
    """No class declares the fields of another: a param or a metric would stand in two places."""
    declared = {}
    for path in [*LIBRARY, *(ROOT / "stages").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                fields = frozenset(n.target.id for n in node.body if isinstance(n, ast.AnnAssign))
                declared.setdefault(fields, []).append(f"{relative(path)}: {node.name}")
    twins = [names for fields, names in declared.items() if len(fields) > 3 and len(names) > 1]
    assert twins == []


@pytest.mark.parametrize("path", STAGES, ids=relative)
def test_a_stage_declares_nothing_but_the_keys_that_it_reads(path):
    """Sections are declared in the params.py of a package, forms of metrics in its results.py."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bases = {
        n.name: {ast.unparse(b) for b in n.bases} for n in tree.body if isinstance(n, ast.ClassDef)
    }
    assert not [name for name, of in bases.items() if of & {"Section", "MetricsFile"}]
