"""The dvc.yaml files against the code they run, and params.yaml against conf/."""

import ast
import functools
import importlib
import re
import subprocess

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from cir.core import imports
from cir.core.imports import data_files, find_module, needed_modules
from stages import params as stage_params
from stages.params import load
from tests.helpers import ROOT
from tests.helpers.compositions import composed
from tools.pipeline import dvc_files, read_stages

TEST_DATA = "data/retrieval/test"
MAY_READ_TEST_DATA = {
    "embed_gallery",
    "score",
    "composers.score",
    "photos",
    "export_submission",
    "report",
}
COMMAND = re.compile(r"(python|\\\$\{CIR_LAUNCH:-python\}) -m ([\w.]+)( \$\{key\})?")
NO_STAGES = {"__init__", "params", "run"}
CODE = ("cir", "stages")
# What a dependency is that the groups of params choose; and what a script names but never reads.
CHOSEN = {"${data.labels_from}": ("data/retrieval/train", "models/tagger")}
NAMED = {"prepare_data": ("models/tagger",)}  # it compares data.labels_from with it

PIPELINE = {stage.module.removeprefix("stages."): stage for stage in read_stages()}
SCRIPTS = {
    ".".join(path.relative_to(ROOT / "stages").with_suffix("").parts): path
    for path in sorted((ROOT / "stages").rglob("*.py"))
    if path.stem not in NO_STAGES
}


@pytest.fixture(scope="module", autouse=True)
def each_file_is_read_once():
    """No file changes while these tests run, and they ask for the same ones many times."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((imports, "imported_modules"), (stage_params, "_read_yaml")):
            patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield


def params_class(name):
    return importlib.import_module(f"stages.{name}").Params


def related(one, other):
    return (one + "/").startswith(other + "/") or (other + "/").startswith(one + "/")


def covers(dep, path):
    return (path + "/").startswith(dep + "/")


def is_code(dep):
    return dep.split("/")[0] in CODE


def code_deps(name):
    """The smallest list of packages that holds every module that the stage imports.

    A package that is listed brings its inner packages along. An inner package is listed alone where
    the stage needs no module of the outer one.
    """
    script = SCRIPTS[name]
    files = [find_module(module, ROOT) for module in needed_modules([script], ROOT, CODE)]
    inside = [file.relative_to(ROOT) for file in files if file.name != "__init__.py"]
    folders = {path.parent if path.parts[0] == "cir" else path for path in inside}
    deps = {folder.as_posix() for folder in folders} | {script.relative_to(ROOT).as_posix()}
    packages = [file.parent for file in files if file.name == "__init__.py"]
    deps |= {
        p.relative_to(ROOT).as_posix() for p in packages if p != ROOT / "cir" and data_files(p)
    }
    return {dep for dep in deps if not any(dep != one and covers(one, dep) for one in deps)}


def test_every_script_is_a_stage_and_every_stage_a_script():
    assert PIPELINE.keys() == SCRIPTS.keys()


def test_the_five_files_stay_small():
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in dvc_files()}
    assert len(lines) == 5
    assert lines[ROOT / "dvc.yaml"] <= 130
    assert sum(lines.values()) <= 350
    locks = [path.with_suffix(".lock") for path in lines]
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in locks) <= 3500


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_runs_the_script_of_its_name(name):
    stage = PIPELINE[name]
    found = COMMAND.fullmatch(stage.entry["cmd"])
    assert found.group(2) == stage.module
    assert (found.group(3) is not None) == stage.foreach
    assert stage.entry.get("wdir") == ("../.." if "." in name else None)


@pytest.mark.parametrize("name", PIPELINE)
def test_code_deps_are_the_packages_that_the_stage_imports(name):
    listed = [dep for dep in PIPELINE[name].entry["deps"] if is_code(dep)]
    assert len(listed) == len(set(listed))
    assert set(listed) == code_deps(name)


def test_what_no_stage_lists_holds_no_code_of_its_own():
    """A package whose inner package alone is listed says in its `__init__` what it is, and no
    more."""
    for package in sorted((ROOT / "cir").glob("*/*/__init__.py")):
        outer = package.parents[1] / "__init__.py"
        (statement,) = ast.parse(outer.read_text(encoding="utf-8")).body
        assert isinstance(statement, ast.Expr), outer
    settings = ["cir", "cir.core", "cir.core.threads", "cir.core.torchvision_mend"]
    for folder in CODE:
        assert needed_modules([ROOT / folder / "__init__.py"], ROOT, CODE) == settings


def behind(names):
    """The stages that a change of these stages' outputs may make run, with themselves."""
    found = set(names)
    while True:
        made = [path.split("/${key}")[0] for name in found for path in PIPELINE[name].outputs]
        more = {
            name
            for name, stage in PIPELINE.items()
            if any(related(dep, path) for dep in stage.entry["deps"] for path in made)
        }
        if more <= found:
            return found
        found |= more


DRAWN = {"score", "composers.score", "classes.score", "text_search.score"}
COSTS = {
    "cir/drawing": {*DRAWN, "text_search.compare_encoders"},
    "cir/report": {"report"},
    "cir/app": set(),
    "cir/commands": set(),
    "cir/published/servers": set(),
    "cir/retrieval/submission": {"score", "export_submission", "report", "photos"},
    "cir/retrieval/scoring.py": {"score", "export_submission", "report", "photos"},
    "cir/retrieval/refine": {"score", "export_submission", "report", "photos", "classes.score"},
    "cir/classes/scoring": {"classes.score", "photos", "report"},
    "cir/text_search/scoring": {"text_search.score", "text_search.compare_encoders", "report"},
    "speed": set(),
    "tools": set(),
    "docs": set(),
    "README.md": set(),
}


@pytest.mark.parametrize("changed", COSTS)
def test_what_a_change_costs(changed):
    """A plot, the page, the app, a command or a test server's file makes no model train."""
    assert changed == "docs" or (ROOT / changed).exists()
    runs = {
        name
        for name, stage in PIPELINE.items()
        if any(related(dep, changed) for dep in stage.entry["deps"])
    }
    assert runs <= COSTS[changed]
    trained = {n for n in behind(runs) for out in PIPELINE[n].outputs if out.startswith("models/")}
    assert not trained


@pytest.mark.parametrize("name", PIPELINE)
def test_params_are_the_fields_that_the_stage_reads(name):
    of_all_items = [key.removesuffix(".${key}") for key in PIPELINE[name].entry["params"]]
    assert sorted(of_all_items) == sorted(params_class(name).model_fields)


@pytest.mark.parametrize("name", PIPELINE)
def test_every_path_in_a_script_is_declared(name):
    """What a stage reads or writes without telling DVC would go stale in silence."""
    stage = PIPELINE[name]
    declared = [*stage.entry["deps"], *stage.outputs, *NAMED.get(name, ())]
    tree = ast.parse(SCRIPTS[name].read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    used = [
        call.args[0].value
        for call in calls
        if ast.unparse(call.func) == "Path" and call.args and isinstance(call.args[0], ast.Constant)
    ]
    declared += [path for dep in declared for path in CHOSEN.get(dep, ())]
    undeclared = [path for path in used if not any(related(path, known) for known in declared)]
    assert not undeclared


def test_a_chosen_dependency_is_one_of_those_that_a_group_sets():
    groups = ("data/scenes", "data/coco", "data/contest")
    for dep, paths in CHOSEN.items():
        section, key = dep.strip("${}").split(".")
        content = [YAML(typ="safe").load((ROOT / f"conf/{g}.yaml").read_text()) for g in groups]
        assert {one[key] for one in content} == set(paths), section


def test_test_data_is_read_by_scoring_stages_alone():
    readers = {
        name
        for name, stage in PIPELINE.items()
        if any(related(dep, TEST_DATA) for dep in stage.entry["deps"])
    }
    assert readers <= MAY_READ_TEST_DATA
    for name in SCRIPTS.keys() - MAY_READ_TEST_DATA - {"prepare_data"}:
        assert TEST_DATA not in SCRIPTS[name].read_text(encoding="utf-8")


def test_the_report_is_behind_every_pipeline():
    """Plain `dvc repro` and `dvc exp run` see the root's file and what it depends on."""
    waiting, reached = ["report", "photos", "export_submission"], set()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for dep in PIPELINE[name].entry["deps"]:
            for other, stage in PIPELINE.items():
                made = any(related(dep, out.split("/${key}")[0]) for out in stage.outputs)
                if made and other not in reached:
                    waiting.append(other)
    assert reached == PIPELINE.keys()


def test_metrics_and_plots_are_kept_in_git():
    for name, stage in PIPELINE.items():
        for entry in [*stage.entry.get("metrics", []), *stage.entry.get("plots", [])]:
            assert isinstance(entry, dict), f"{name}: {entry} would go to DVC's cache"
            ((path, options),) = entry.items()
            assert options["cache"] is False, path
            assert path.startswith("metrics/")


def ignored_by_git(path):
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0


def test_dvc_reads_the_pipeline_and_its_sources_are_there():
    with Repo(str(ROOT)) as repo:
        graph = repo.index.graph
        found = {stage.addressing.partition("@")[0] for stage in graph}
        assert found == {stage.address for stage in PIPELINE.values()}
    produced = {path for stage in PIPELINE.values() for path in stage.outputs}
    for stage in PIPELINE.values():
        for dep in stage.entry["deps"]:
            if dep in CHOSEN:
                assert all(any(related(one, path) for path in produced) for one in CHOSEN[dep])
            elif not any(related(dep, path) for path in produced):
                assert (ROOT / dep).exists(), dep
                assert not ignored_by_git(dep), dep


def test_outputs_are_ignored_or_kept_by_git_as_declared():
    for stage in PIPELINE.values():
        outs = stage.entry.get("outs", [])
        for out in stage.paths("outs"):
            kept = {"cache": False} in [e.get(out) for e in outs if isinstance(e, dict)]
            assert ignored_by_git(out.replace("${key}", "tirg")) is not kept, out
        for path in [*stage.paths("metrics"), *stage.paths("plots")]:
            assert not ignored_by_git(path), path


def test_params_are_the_composed_default():
    message = "run python -m tools.compose_params"
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == composed(), message


def test_every_section_is_read_by_a_stage():
    sections = set(YAML(typ="safe", pure=True).load(ROOT / "params.yaml"))
    assert sections == {key for name in PIPELINE for key in params_class(name).model_fields}


CONF = ROOT / "conf"
CHOICES = [
    f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    for path in sorted(CONF.rglob("*/*.yaml"))
]


@pytest.mark.parametrize("choice", ["seed=3", *CHOICES])
def test_every_choice_of_a_group_is_valid_for_every_stage(choice, tmp_path):
    (tmp_path / "params.yaml").write_text(composed(choice), encoding="utf-8")
    for name in PIPELINE:
        load(params_class(name), tmp_path / "params.yaml")
