"""GitHub's workflows only call commands that anyone can run locally, and need no secrets."""

import hashlib
import os
import re
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from tests.helpers import ROOT
from tools.pipeline import dvc_files
from tools.pull_request import MARKER

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^(\.venv/ready|[\w-]+):", MAKEFILE, re.MULTILINE))
WORKFLOWS = {path.stem: YAML(typ="safe", pure=True).load(path) for path in FILES}
JOBS = [(name, key) for name, workflow in WORKFLOWS.items() for key in workflow["jobs"]]
MAJOR_TAG = re.compile(r"actions/(checkout|setup-python|upload-artifact|cache)@v\d+")


def steps(name, key):
    return WORKFLOWS[name]["jobs"][key]["steps"]


def commands():
    """Yield every shell command of the workflows, with the workflow's name."""
    for name, key in JOBS:
        for step in steps(name, key):
            for line in step.get("run", "").splitlines():
                yield name, line.removeprefix("sudo ")


def test_there_is_one_for_pull_requests_and_one_on_demand():
    assert set(WORKFLOWS) == {"pull_request", "full"}
    assert set(WORKFLOWS["pull_request"]["on"]) == {"pull_request"}
    assert set(WORKFLOWS["full"]["on"]) == {"workflow_dispatch"}


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_runs_at_home(name, command):
    first, *words = command.split()
    if first == "make":
        assert set(words) <= TARGETS
    elif first == "sh":
        assert (ROOT / words[0]).is_file()
    else:
        assert command == 'cat comment.md >>"$GITHUB_STEP_SUMMARY"'
    assert "${{" not in command, "an expression in a command is code from outside"


def test_the_pull_request_runs_all_that_was_promised():
    made = {word for name, line in commands() if name == "pull_request" for word in line.split()}
    assert {"lint", "test", "browsers", "smoke", "fresh", "gate", "comment", "plots"} <= made
    check = WORKFLOWS["pull_request"]["jobs"]["check"]
    assert check["strategy"]["matrix"]["python"] == ["3.10", "3.12"]


def test_the_local_script_makes_the_same_targets():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    parts = re.findall(r"^part .* make (.+)$", script, re.MULTILINE)
    made = {target for part in parts for target in part.split()}
    wanted = {"lint", "test", "recipes", "fresh", "short", "gate", "browsers", "photo-packages"}
    assert wanted <= made <= TARGETS
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_can_be_resolved(target):
    words = ["make", "--dry-run", "--always-make", target]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for module in re.findall(r"-m (tools\.\w+)", told):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for script in re.findall(r"sh (tools/\S+)", told):
        assert (ROOT / script).is_file(), script


def test_the_comment_at_the_top_of_the_makefile_lists_the_targets():
    listed = set(re.findall(r"^# make ([\w-]+) ", MAKEFILE, re.MULTILINE))
    assert listed == TARGETS - {".venv/ready", "check-clone", "check-folder"}


@pytest.mark.parametrize(("name", "key"), JOBS)
def test_a_job_is_modest(name, key):
    workflow, job = WORKFLOWS[name], WORKFLOWS[name]["jobs"][key]
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert job["timeout-minutes"] <= 180
    extra = {"contents": "read", "pull-requests": "write"} if key == "metrics" else None
    assert job.get("permissions") == extra
    for step in job["steps"]:
        assert ("run" in step) is not ("uses" in step)
        if "uses" in step:
            assert MAJOR_TAG.fullmatch(step["uses"]), step["uses"]
    checkout, python = job["steps"][:2]
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert python["with"]["cache"] == "pip"


def test_no_secret_but_the_jobs_own_token_and_no_remote():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"secrets\.(\w+)", text)) <= {"GITHUB_TOKEN"}
        assert not re.search(r"dvc (pull|push|fetch)|remote", text)
    assert "remote" not in (ROOT / ".dvc" / "config").read_text(encoding="utf-8")


def test_the_full_run_keeps_every_lock_file():
    (step,) = [step for step in steps("full", "full") if "path" in step.get("with", {})]
    for path in dvc_files():
        lock = path.with_suffix(".lock").relative_to(ROOT)
        assert any(lock.match(pattern) for pattern in step["with"]["path"].split()), lock


def test_a_fork_without_rights_does_not_fail_the_job():
    (step,) = [s for s in steps("pull_request", "metrics") if "post_comment" in s.get("run", "")]
    assert step["continue-on-error"] is True
    assert "head.repo.full_name == github.repository" in step["if"]


GH = """\
#!/bin/sh
echo "$*" >>calls
case "$*" in
*--paginate*) [ "$MARK" = "{marker}" ] && cat earlier ;;
esac
"""


@pytest.mark.parametrize(
    ("earlier", "call"),
    [
        ("", "--method POST repos/o/r/issues/7/comments"),
        ("31\n32\n", "--method PATCH repos/o/r/issues/comments/31"),
    ],
)
def test_one_comment_is_kept_up_to_date(tmp_path, earlier, call):
    (tmp_path / "gh").write_text(GH.format(marker=MARKER))
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "earlier").write_text(earlier)
    (tmp_path / "comment.md").write_text(f"{MARKER}\n\ntext\n")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", str(ROOT / "tools/post_comment.sh"), "comment.md", "7"],
        cwd=tmp_path,
        env={"PATH": path, "GITHUB_REPOSITORY": "o/r"},
        check=True,
    )
    listed, posted = (tmp_path / "calls").read_text().splitlines()
    assert listed.startswith("api --paginate repos/o/r/issues/7/comments --jq ")
    assert posted == f"api --silent {call} -F body=@comment.md"


APT = '#!/bin/sh\necho "$*" >>calls\n[ ! -e broken ]\n'
MISSING = "missing and not installed"
INSTALL = "install -q -y --no-install-recommends"


@pytest.mark.parametrize(
    ("tools", "said", "calls"),
    [
        (("chromium", "firefox-esr", "apt-get"), "", []),
        (("chromium",), f"{MISSING}, which takes apt-get and root: firefox-esr\n", []),
        (("firefox-esr", "apt-get"), "", ["update -q", f"{INSTALL} chromium"]),
        (("apt-get",), "", ["update -q", f"{INSTALL} chromium firefox-esr"]),
        (
            ("apt-get", "broken"),
            "missing, and apt-get could not install it: chromium firefox-esr\n",
            ["update -q"],
        ),
    ],
)
def test_browsers_are_installed_where_they_can_be(tmp_path, tools, said, calls):
    for tool in tools:
        (tmp_path / tool).write_text(APT)
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "id").chmod(0o755)
    finished = subprocess.run(
        [shutil.which("sh"), str(ROOT / "tools/install_browsers.sh")],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == said
    log = tmp_path / "calls"
    assert (log.read_text().splitlines() if log.exists() else []) == calls


NPM = """\
#!/bin/sh
echo "$*" >>"$CALLS"
[ ! -e "$CALLS.broken" ] && tar -czf axe-core-1.tgz -C "$CALLS.made" package
"""


@pytest.mark.parametrize("state", ["right", "wrong", "broken", "no npm"])
def test_axe_is_installed_only_with_its_hash(tmp_path, state):
    """`npm` is replaced by a script, and the hash in the copied script by that of its file."""
    (tmp_path / "calls.made" / "package").mkdir(parents=True)
    (tmp_path / "calls.made" / "package" / "axe.min.js").write_text("axe")
    script = (ROOT / "tools/install_axe.sh").read_text()
    if state != "wrong":
        right = hashlib.sha256(b"axe").hexdigest()
        script = re.sub("(?m)^sha256=.*", f"sha256={right}", script)
    if state == "broken":
        (tmp_path / "calls.broken").touch()
    (tmp_path / "script.sh").write_text(script)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sha256sum", "rm", "mkdir", "mv", "tar", "gzip"):
        (tools / name).symlink_to(shutil.which(name))
    if state != "no npm":
        (tools / "npm").write_text(NPM)
        (tools / "npm").chmod(0o755)
    for _ in range(2):
        finished = subprocess.run(
            [shutil.which("sh"), "script.sh"],
            cwd=tmp_path,
            env={"PATH": str(tools), "CALLS": str(tmp_path / "calls")},
            capture_output=True,
            text=True,
            check=True,
        )
    said = {
        "right": "",
        "wrong": "axe-core is not installed: what npm got has another hash than axe-core ",
        "broken": "axe-core is missing and npm could not get it\n",
        "no npm": "axe-core is missing and is not installed: that takes npm\n",
    }[state]
    assert finished.stdout.startswith(said)
    assert bool(finished.stdout) is bool(said)
    installed = [path.name for path in (tmp_path / ".venv").rglob("*") if path.is_file()]
    assert installed == (["axe.min.js"] if state == "right" else [])
    calls = tmp_path / "calls"
    asked = calls.read_text().splitlines() if calls.exists() else []
    assert len(asked) == {"right": 1, "wrong": 2, "broken": 2, "no npm": 0}[state]
    assert all(re.fullmatch(r"pack --silent axe-core@[\d.]+", call) for call in asked)
