"""dvc.yaml against the code it runs, and params.yaml against conf/."""

import ast
import importlib
import re
import subprocess

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages import load
from tests.helpers import ROOT
from tools.code_deps import by_folder, code_deps, is_code
from tools.compose_params import compose

TEST_DATA = "data/retrieval/test"
MAY_READ_TEST_DATA = {"embed_gallery", "score", "score_composers", "export_submission", "report"}
COMMAND = re.compile(r"(python|\\\$\{CIR_LAUNCH:-python\}) -m stages\.(\w+)( \$\{key\})?")

yaml = YAML(typ="safe", pure=True)
# Of a stage for each item of a mapping, what it does for one of them.
STAGES = yaml.load(ROOT / "dvc.yaml")["stages"]
PIPELINE = {name: entry.get("do", entry) for name, entry in STAGES.items()}
OF_MANY_ITEMS = {name for name, entry in STAGES.items() if "do" in entry}
SCRIPTS = {path.stem for path in (ROOT / "stages").glob("[!_]*.py")}


def paths(entries):
    """Outputs, metrics and plots are a path or a path with options."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outputs(stage):
    return [p for kind in ("outs", "metrics", "plots") for p in paths(stage.get(kind, []))]


def params_class(name):
    return importlib.import_module(f"stages.{name}").Params


def related(one, other):
    return (one + "/").startswith(other + "/") or (other + "/").startswith(one + "/")


def test_every_script_is_a_stage_and_every_stage_a_script():
    assert set(PIPELINE) == SCRIPTS


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_runs_the_script_of_its_name(name):
    assert COMMAND.fullmatch(PIPELINE[name]["cmd"]).group(2) == name


@pytest.mark.parametrize("name", PIPELINE)
def test_code_deps_are_what_the_stage_imports(name):
    listed = [dep for dep in PIPELINE[name]["deps"] if is_code(dep)]
    found = code_deps(name)
    if name in OF_MANY_ITEMS:
        found = by_folder(found)
    assert listed == found, "run python -m tools.code_deps"


@pytest.mark.parametrize("name", PIPELINE)
def test_params_are_the_fields_that_the_stage_reads(name):
    of_all_items = [key.removesuffix(".${key}") for key in PIPELINE[name]["params"]]
    assert sorted(of_all_items) == sorted(params_class(name).model_fields)


@pytest.mark.parametrize("name", PIPELINE)
def test_every_path_in_a_script_is_declared(name):
    """What a stage reads or writes without telling DVC would go stale in silence."""
    stage = PIPELINE[name]
    declared = [*stage["deps"], *outputs(stage)]
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    used = [
        call.args[0].value
        for call in calls
        if ast.unparse(call.func) == "Path" and call.args and isinstance(call.args[0], ast.Constant)
    ]
    undeclared = [path for path in used if not any(related(path, known) for known in declared)]
    assert not undeclared


def test_test_data_is_read_by_scoring_stages_alone():
    readers = {
        name
        for name, stage in PIPELINE.items()
        if any(related(dep, TEST_DATA) for dep in stage["deps"])
    }
    assert readers <= MAY_READ_TEST_DATA
    for name in SCRIPTS - MAY_READ_TEST_DATA - {"prepare_data"}:
        assert TEST_DATA not in (ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8")


def test_metrics_and_plots_are_kept_in_git():
    for name, stage in PIPELINE.items():
        for entry in [*stage.get("metrics", []), *stage.get("plots", [])]:
            assert isinstance(entry, dict), f"{name}: {entry} would go to DVC's cache"
            ((path, options),) = entry.items()
            assert options["cache"] is False, path
            assert path.startswith("metrics/")


def ignored_by_git(path):
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0


def test_dvc_reads_the_pipeline_and_its_sources_are_there():
    with Repo(str(ROOT)) as repo:
        graph = repo.index.graph
        assert {stage.addressing.partition("@")[0] for stage in graph} == set(PIPELINE)
    produced = {path for stage in PIPELINE.values() for path in outputs(stage)}
    for stage in PIPELINE.values():
        for dep in stage["deps"]:
            if not any(related(dep, path) for path in produced):
                assert (ROOT / dep).exists(), dep
                assert not ignored_by_git(dep), dep


def test_outputs_are_ignored_or_kept_by_git_as_declared():
    for stage in PIPELINE.values():
        for out in paths(stage.get("outs", [])):
            kept = {"cache": False} in [e.get(out) for e in stage["outs"] if isinstance(e, dict)]
            assert ignored_by_git(out.replace("${key}", "tirg")) is not kept, out
        for path in paths([*stage.get("metrics", []), *stage.get("plots", [])]):
            assert not ignored_by_git(path), path


def test_params_are_the_composed_default(tmp_path):
    compose(tmp_path / "params.yaml")
    composed = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    message = "run python -m tools.compose_params"
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == composed, message


def test_every_section_is_read_by_a_stage():
    sections = set(yaml.load(ROOT / "params.yaml"))
    assert sections == {key for name in PIPELINE for key in params_class(name).model_fields}


CONF = ROOT / "conf"
CHOICES = [
    f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    for path in sorted(CONF.rglob("*/*.yaml"))
]


@pytest.mark.parametrize("choice", ["seed=3", *CHOICES])
def test_every_choice_of_a_group_is_valid_for_every_stage(choice, tmp_path):
    compose(tmp_path / "params.yaml", [choice])
    for name in PIPELINE:
        load(params_class(name), tmp_path / "params.yaml")
