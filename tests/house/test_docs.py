"""The README against the repository: paths, commands, parameters, the tree."""

import importlib.util
import itertools
import re
import shlex

import pytest
from dvc.utils.hydra import get_hydra_sweeps
from ruamel.yaml import YAML

from tests.helpers import ROOT
from tools.compose_params import compose

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(TEXT)
PROSE = FENCE.sub("", TEXT)
SHELL = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
SUFFIXES = r"py|md|yaml|json|jsonl|txt|csv|toml|sh|png|jpg|lock"
A_PATH = re.compile(rf"[\w.-]+(/[\w.-]+)*/|[\w.-]+(/[\w.-]+)+|[\w-]+\.(?:{SUFFIXES})|Makefile")
# What the prose names that is the reader's own, or stands for a name to be chosen.
THE_READERS = {"data.csv", "images/", "train/", "val/", "FILE.jsonl", "stages/NAME.py"}
THE_READERS |= {"test/query", "test/gallery"}


def made_by_stages():
    """The outputs that dvc.yaml declares: a fresh clone need not have them."""
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"].values()
    entries = [
        entry
        for stage in stages
        for kind in ("outs", "metrics", "plots")
        for entry in stage.get("do", stage).get(kind, [])
    ]
    made = {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}
    return made | {path.removesuffix("/${key}") for path in made}


def named_paths():
    spans = [word for span in re.findall(r"`([^`\n]+)`", PROSE) for word in span.split()]
    links = re.findall(r"\]\(([^)#\s]+)\)", PROSE)
    inline = {span for span in spans if A_PATH.fullmatch(span)}
    return sorted((inline | set(links)) - THE_READERS)


def tree():
    """Every path of the annotated tree, with its comment."""
    block = TEXT.partition("## File structure")[2]
    lines = FENCE.search(block).group(2).splitlines()
    parents, found = [], []
    for line in lines:
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, comment = line.strip().partition(" ")
        parents = [*parents[:depth], name.rstrip("/")]
        assert len(parents) == depth + 1, f"{line!r} is indented too far"
        found.append(("/".join(parents) + "/" * name.endswith("/"), comment.strip()))
    return found


def commands(first):
    """The words of every shell line, and of every inline command, that begins so."""
    lines = [line.partition(" #")[0].strip() for line in SHELL]
    lines += re.findall(r"`([^`\n]+)`", PROSE)
    return [shlex.split(line) for line in lines if line.startswith(first)]


def test_the_parsing_finds_what_it_should():
    assert {
        "prompt_templates.json",
        "cir/retrieval/ranking/ranking.py",
        "metrics/pictures/example.png",
    } <= {*named_paths()}
    assert len(tree()) > 80
    assert len(commands("dvc exp run")) >= 4


@pytest.mark.parametrize("path", named_paths())
def test_a_path_exists_or_a_stage_makes_it(path):
    made = any(path == out or path.startswith(f"{out}/") for out in made_by_stages())
    made |= path == ".checkpoints"  # the code makes it
    assert made or (ROOT / path).exists()


def test_the_tree_holds_real_files_with_a_comment_each():
    paths = [path for path, _ in tree()]
    assert len(paths) == len(set(paths))
    for path, comment in tree():
        assert comment, path
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path


@pytest.mark.parametrize("folder", ["cir", "stages", "conf", "tools"])
def test_the_tree_leaves_no_file_out(folder):
    listed = {path.rstrip("/") for path, _ in tree()}
    described_as_a_whole = {
        path.rstrip("/")
        for path in listed
        if (ROOT / path).is_dir() and not any(other.startswith(f"{path}/") for other in listed)
    }
    unlisted = []
    for file in sorted((ROOT / folder).rglob("*")):
        path = file.relative_to(ROOT)
        if file.is_dir() or "__pycache__" in path.parts or path.as_posix() in listed:
            continue
        inner_init = file.name == "__init__.py" and len(path.parts) > 2
        within = any(parent.as_posix() in described_as_a_whole for parent in path.parents)
        if not (inner_init or within or path.as_posix() == "tools/__init__.py"):
            unlisted.append(path.as_posix())
    assert not unlisted


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = {words[1] for words in commands("make ")}
    assert {"repro", "test", "bench"} <= named <= targets


def test_every_module_that_is_run_exists():
    for words in commands("python -m "):
        assert importlib.util.find_spec(words[2]), words[2]


def overrides():
    """What follows each -S, one list for each command that has any; also where prose names one."""
    found = [words for words in commands("dvc exp run") + commands("-S ") if "-S" in words]
    return [[b for a, b in itertools.pairwise(words) if a == "-S"] for words in found]


@pytest.mark.parametrize("these", overrides(), ids=" ".join)
def test_every_override_names_a_group_or_a_key(these, tmp_path):
    """Hydra refuses an unknown group, choice or key; an example that changes nothing is none."""
    default, changed = (tmp_path / "default.yaml", tmp_path / "changed.yaml")
    compose(default)
    for one in get_hydra_sweeps({"params.yaml": these}):  # a list of values is a run for each
        compose(changed, one["params.yaml"])
        assert changed.read_text(encoding="utf-8") != default.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "DECISIONS.md"])
def test_no_figure_is_left_to_be_filled_in(name):
    assert not re.findall(r"@@\w+@@", (ROOT / name).read_text(encoding="utf-8"))


def test_every_link_within_the_page_leads_to_a_heading():
    headings = re.findall(r"^#+ (.+)$", PROSE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PROSE)) <= anchors
