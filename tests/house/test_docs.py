"""Check README.md and docs/ against the repository: paths, commands, parameters, links, lengths."""

import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import get_hydra_sweeps
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException

from cir.commands.main import main
from cir.core.imports import imported_modules
from tests.helpers import ROOT
from tests.helpers.compositions import composed, composed_values
from tools.pipeline import read_stages

README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?%?")
SUFFIXES = r"py|md|yaml|json|jsonl|txt|csv|toml|sh|png|jpg|lock"
A_PATH = re.compile(rf"[\w.-]+(/[\w.-]+)*/|[\w.-]+(/[\w.-]+)+|[\w-]+\.(?:{SUFFIXES})|Makefile")
# Names that belong to the reader's own data, or that stand for a name to be chosen.
THE_READERS = {"data.csv", "images/", "train/", "val/", "FILE.jsonl"}
THE_READERS |= {"captions.jsonl", "captions.csv", "test/query", "test/gallery"}
THE_READERS |= {"root/class/image", "root/part/class/image"}
# Groups of conf/, by the names that `-S` takes.
THE_READERS |= {"benchmark/images", "benchmark/texts"}
# Made by code or by a make target outside the pipeline, and not kept in git.
MADE_ELSEWHERE = {
    ".checkpoints",
    "comment.md",
    "composer.json",
    "dvc_plots/",
    "fuzz-failures/",
    "model.json",
}
STAGES = {stage.address: stage for stage in read_stages()}
OUTPUTS = {path.removesuffix("/${key}") for stage in STAGES.values() for path in stage.outputs}
TAKE_A_VALUE = {"-S", "--set-param", "-n", "--name", "-j", "--jobs"}  # options of dvc

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text(page):
    return page.read_text(encoding="utf-8")


def prose(page):
    return FENCE.sub("", text(page))


def spans(page):
    return re.findall(r"`([^`\n]+)`", prose(page))


def shell(page):
    """Return the lines of the page's shell blocks, without their comments."""
    blocks = [block for _, kind, block in FENCE.findall(text(page)) if kind == "bash"]
    lines = [re.split(r"(?:^| )#", line)[0].strip() for b in blocks for line in b.splitlines()]
    return [line for line in lines if line]


def commands(page, first):
    """Return the words of every shell line and inline command that starts with `first`.

    Variables that are set in front of a command are left out.
    """
    found = []
    for line in shell(page) + spans(page):
        bare = re.sub(r"""^([A-Z_]+=("[^"]*"|\S*) +)+""", "", line)
        if f"{bare} ".startswith(f"{first} "):
            found.append(shlex.split(bare))
    return found


def all_commands(first):
    return [words for page in PAGES for words in commands(page, first)]


def anchors(page):
    """Return the anchors that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]


def exists(path):
    """Tell whether a path, relative to the root, is there or is an output of a stage."""
    made = any(path.rstrip("/") == out or path.startswith(f"{out}/") for out in OUTPUTS)
    return made or path in MADE_ELSEWHERE or (ROOT / path).exists()


def named_paths(page):
    """Return the paths that the page's prose and commands name."""
    words = {word for span in spans(page) for word in span.split()}
    folders = {path.name for path in ROOT.iterdir()}
    words |= {
        word for line in shell(page) for word in line.split() if word.partition("/")[0] in folders
    }
    return {word for word in words if A_PATH.fullmatch(word)} - THE_READERS


def rows(page, heading):
    """Return the rows of the first table under a heading, as lists of cells."""
    section = re.split(r"^#+ ", text(page).partition(f" {heading}\n")[2], flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:]]


def tree():
    """Return the packages of cir/ in README's tree, from top to bottom, with their comments."""
    block = FENCE.search(text(README).partition("## Layout")[2]).group(3)
    inside = block.partition("\ncir/\n")[2].splitlines()
    lines = itertools.takewhile(lambda line: line.startswith("  "), inside)
    return [line.strip().partition("/")[::2] for line in lines]


def test_the_parsing_finds_what_it_should():
    assert len(PAGES) > 30
    assert {"cir/retrieval/ranking/ranking.py", "conf/config.yaml"} <= named_paths(
        DOCS / "where.md"
    )
    assert "tests/published/test_annotations.py" in named_paths(DOCS / "published-datasets.md")
    assert len(tree()) >= 12
    assert len(all_commands("dvc exp run")) >= 20
    assert len(all_commands("make")) >= 20
    assert len(all_commands("cir")) >= 20


@every_page
def test_a_page_is_short(page):
    limit = 220 if page == README else 250
    assert text(page).count("\n") <= limit


@every_page
def test_a_path_exists_or_a_stage_makes_it(page):
    assert not [path for path in sorted(named_paths(page)) if not exists(path)]


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page):
    links = [link for link in LINK.findall(prose(page)) if not re.match(r"https?://", link)]
    assert not [link for link in links if not leads_somewhere(page, link)]


def leads_somewhere(page, link):
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.is_relative_to(ROOT) or not exists(target.relative_to(ROOT).as_posix()):
        return False
    return not anchor or anchor in anchors(target)


@every_page
def test_headings_of_a_page_differ(page):
    found = anchors(page)
    assert len(found) == len(set(found))


@every_page
def test_no_figure_is_left_to_be_filled_in(page):
    assert not re.findall(r"@@\w+@@", text(page))


def test_every_page_is_listed():
    """README or docs/README.md leads to every page."""
    listed = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in (README, DOCS / "README.md")
        for link in LINK.findall(prose(page))
    }
    assert set(PAGES) - listed <= {README}


def test_the_tree_holds_the_packages_in_the_order_of_imports():
    packages = [name for name, _ in tree()]
    imported = {name: packages_imported_by(ROOT / "cir" / name) for name in packages}
    assert all(comment.strip() for _, comment in tree())
    assert sorted(packages) == sorted(p.parent.name for p in (ROOT / "cir").glob("*/__init__.py"))
    for above, below in itertools.combinations(packages, 2):
        assert above not in imported[below], f"cir.{below} imports what README puts above it"


def packages_imported_by(folder):
    """Return the names of the packages of cir/ that the files of one of them import."""
    modules = [imported_modules(path, ROOT, ["cir"]) for path in folder.rglob("*.py")]
    return {name.split(".")[1] for names in modules for name in names if "." in name}


def test_the_tree_names_the_folders_of_the_repository():
    block = FENCE.search(text(README).partition("## Layout")[2]).group(3)
    named = [line.split()[0] for line in block.splitlines() if not line.startswith(" ")]
    assert {"cir/", "stages/", "conf/", "tests/", "docs/", "tools/", "speed/"} <= set(named)
    assert all((ROOT / name).exists() for name in named)


def test_the_figures_of_the_quick_start_are_those_of_the_metrics():
    """README promises figures within about a point, as another processor rounds otherwise."""
    command = [sys.executable, "-m", "tools.summary"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (shown,) = [b for _, kind, b in FENCE.findall(text(README)) if b.startswith("tagger")]
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", told).split()
    for one, other in zip(NUMBER.findall(shown), NUMBER.findall(told), strict=True):
        tolerance = 1.5 if one.endswith("%") else 0.015 if one.startswith("0.") else 0
        assert abs(number(one) - number(other)) <= tolerance, f"{one} in README, {other} now"


def number(word):
    return float(word.rstrip("%").replace(",", ""))


def test_decisions_are_sorted_by_package():
    """Every entry is a heading, a date and a decision; a heading of a group has none of its own."""
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert {page.stem for page in pages} <= {name for name, _ in tree()} | {"stages"}
    for page in pages:
        dates = re.findall(r"^\d{4}-\d\d-\d\d$", text(page), re.MULTILINE)
        assert dates == sorted(dates, reverse=True), f"{page.name}: newest on top"
        for entry in re.split(r"^##+ ", text(page), flags=re.MULTILINE)[1:]:
            heading, _, body = entry.partition("\n")
            if body.strip():
                assert re.match(r"\d{4}-\d\d-\d\d\n\n\*\*Decision\.\*\* ", body), heading


def test_where_answers_many_questions_with_files():
    where = DOCS / "where.md"
    questions, changes = rows(where, "Where is X?"), rows(where, "Where do I change X?")
    assert len(questions) >= 24
    assert len(changes) >= 40
    for question, answer in questions + changes:
        found = [span for span in re.findall(r"`([^`]+)`", answer) if A_PATH.fullmatch(span)]
        assert found, f"{question.strip()}: the answer names no file"
        assert all((ROOT / path).exists() for path in found), answer


def test_a_name_in_a_file_is_there():
    """`KINDS` in `cir/datasets/scenes/triplets.py`, `score_classes` in `conf/config.yaml`."""
    pattern = r"`([\w.]+)` in `([^`\s]+\.(?:py|yaml)|conf/\w+/)`"
    found = [pair for page in PAGES for pair in re.findall(pattern, prose(page))]
    assert len(found) >= 8
    for name, place in found:
        files = (
            [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).glob("*.yaml"))
        )
        last = name.rpartition(".")[2]
        assert any(re.search(rf"\b{last}\b", text(file)) for file in files), f"{name} in {place}"


def test_the_targets_of_make_are_documented():
    makefile = text(ROOT / "Makefile")
    targets = set(re.findall(r"^(\.venv/ready|[\w-]+):", makefile, re.MULTILINE))
    named = {word for words in all_commands("make") for word in words[1:] if "=" not in word}
    assert named <= targets
    explained = set(re.findall(r"^# make ([\w-]+) ", makefile, re.MULTILINE))
    assert {"repro", "test", "bench"} <= explained
    listed = {re.search(r"`make ([\w-]+)`", row[0])[1] for row in rows(*MAKE_TABLE)}
    assert listed == explained


MAKE_TABLE = (DOCS / "checks.md", "Every make target")


def test_every_module_that_is_run_exists():
    modules = {words[2] for words in all_commands("python -m")}
    assert {"cir", "speed", "tools.experiments"} <= modules
    assert not [name for name in sorted(modules) if not importlib.util.find_spec(name)]


def command_lines():
    """Return every command of `cir` that a page names, without the program."""
    lines = [words[1:] for words in all_commands("cir")]
    lines += [words[3:] for words in all_commands("python -m cir")]
    return sorted({tuple(line) for line in lines if line and line != ["NAME"]})


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_a_command_of_cir_exists_and_has_these_options(line, capsys):
    """The command with its leading words, then asked for its help, which names the options."""
    leading = list(itertools.takewhile(lambda word: not word.startswith("-"), line))
    if leading[0] in ("tag", "tag-score", "index"):
        leading = leading[:1]  # the rest is what the user gives
    with pytest.raises(SystemExit) as left:
        main([*leading, "--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in line if word.startswith("--"))


def test_readme_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands_of_cir = re.findall(r"^    ([\w-]+)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert len(commands_of_cir) >= 7
    listed = [re.search(r"`cir ([\w-]+)`", row[0]) for row in rows(README, "Your own images")]
    assert {found[1] for found in listed if found} == set(commands_of_cir)


def dvc_lines():
    return all_commands("dvc repro") + all_commands("dvc exp run")


def test_every_stage_that_is_run_exists():
    """`dvc repro stages/classes/dvc.yaml:score` names a stage of that file."""
    named = set()
    for words in dvc_lines():
        after = words[2:] if words[1] == "repro" else words[3:]
        pairs = itertools.pairwise(["", *after])
        named |= {b for a, b in pairs if a not in TAKE_A_VALUE and not b.startswith("-")}
    addresses = {
        span for page in PAGES for span in spans(page) if re.fullmatch(r"\S+/dvc.yaml:\S+", span)
    }
    assert named & addresses
    assert {name.partition("@")[0] for name in named | addresses} <= STAGES.keys()


def test_every_stage_is_described_under_its_file():
    page = DOCS / "pipeline.md"
    sections = re.split(r"^### ", text(page), flags=re.MULTILINE)
    for address, stage in STAGES.items():
        file, between, name = address.rpartition(":")
        (section,) = [s for s in sections if f"`{file if between else 'dvc.yaml'}`\n" in s]
        (row,) = [line for line in section.splitlines() if line.startswith(f"| `{name}`")]
        params = [key.partition(".")[0] for key in stage.entry["params"]]
        described = row.split("|")[-2]
        assert {key for key in params if key not in ("seed", "tensorboard")} == {
            *re.findall(r"`(\w+)`", described)
        }, address


def overrides():
    """Return the overrides of each command, and of each inline command, that has any."""
    found = [words for words in all_commands("dvc exp run") + all_commands("-S") if "-S" in words]
    lists = [tuple(b for a, b in itertools.pairwise(words) if a == "-S") for words in found]
    return sorted(set(lists) - {()})


@pytest.mark.parametrize("these", overrides(), ids=" ".join)
def test_every_override_names_a_group_or_a_key(these):
    """Hydra refuses an unknown group, choice or key; an override that changes nothing is wrong."""
    for one in get_hydra_sweeps({"params.yaml": list(these)}):  # a list of values: a run for each
        assert composed(*one["params.yaml"]) != composed()


@every_page
def test_a_value_in_the_text_can_be_given_to_dvc(page):
    """A span `key=value` changes the default, or a choice of the key's own group."""
    for span in spans(page):
        if re.fullmatch(r"[a-z_.]+=\S.*", span) and "data.root=" not in span:
            key, _, value = span.partition("=")
            one = f"{key}={value!r}" if "{" in value and value[0] != '"' else span
            group = key.partition(".")[0]
            choices = [path.stem for path in (ROOT / "conf" / group).glob("*.yaml")]
            assert changes(one) or any(changes(one, f"{group}={name}") for name in choices), span


def changes(one, *choice):
    """Tell whether an override names a group or a key that is there, and changes it.

    The choice is made first. A group is composed; a key has to be there, with another value than
    Hydra's grammar reads.
    """
    override = OverridesParser.create().parse_override(one)
    if (ROOT / "conf" / override.key_or_group).is_dir():
        return composed(one) != composed(*choice)
    try:
        section = composed_values(*choice)
        *outer, last = override.key_or_group.split(".")
        for name in outer:
            section = section[name]
        return section[last] != override.value()
    except (ConfigCompositionException, KeyError):
        return False


def test_every_choice_of_conf_is_described():
    described = {row[0].strip(" `"): row[2] for row in rows(DOCS / "experiments.md", "The groups")}
    choices = {}
    for path in (ROOT / "conf").rglob("*.yaml"):
        group = path.parent.relative_to(ROOT / "conf").as_posix()
        choices.setdefault(group, set()).add(path.stem)
    choices.pop(".")
    assert described.keys() == choices.keys()
    for group, names in choices.items():
        assert names == set(re.findall(r"`(\w+)`", described[group])), group


@pytest.mark.parametrize(("folder", "page"), [("tools", "checks"), ("speed", "speed")])
def test_every_script_is_described(folder, page):
    scripts = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
    paths = {Path(path) for path in named_paths(DOCS / f"{page}.md")}
    named = {path.name for path in paths if path.parent == Path(folder)}
    assert scripts - {"__init__.py"} == named
