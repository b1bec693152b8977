"""Test the whole command line: help, completion, the folders of models, an installation."""

import shutil
import subprocess
import sys
import sysconfig
import venv

import httpx
import pytest

from cir.commands.main import COMMANDS, main, parser
from cir.commands.options import model_folder
from cir.core.errors import UserError
from tests.helpers import ROOT
from tests.helpers.serving import make_place, serving


def test_help_names_every_command_and_imports_no_heavy_library():
    """Without these imports, help appears at once."""
    heavy = "torch transformers datasets open_clip numpy pandas pyarrow fastapi".split()
    script = (
        "import sys; from cir.commands.main import main\n"
        "try: main(['--help'])\n"
        f"finally: print(sorted(set({heavy}) & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *told, loaded = ran.stdout.splitlines()
    assert loaded == "[]"
    names = [one.__name__.rpartition(".")[2] for one in COMMANDS]
    assert all(any(line.split()[:1] == [name] for line in told) for name in names)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_gets_what_it_needs_to_complete(capsys, shell):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "tag-score" in script
    assert "--models" in script


def test_completion_in_a_real_shell(capsys, tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    main(["completion", "bash"])
    (tmp_path / "cir.sh").write_text(capsys.readouterr().out)
    asked = (
        f"source {tmp_path / 'cir.sh'}; COMP_WORDS=(cir se); COMP_CWORD=1; "
        'eval "$(complete -p cir | sed -E "s/.*-F ([^ ]+).*/\\1/")"; echo "${COMPREPLY[@]}"'
    )
    ran = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["serve"]


def test_models_are_found_by_option_variable_and_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_MODELS", raising=False)

    def folder(*words):
        return str(model_folder(parser().parse_args(["index", "photos", *words]), "model"))

    assert folder() == "models/text_search"
    monkeypatch.setenv("CIR_MODELS", "/trained")
    assert folder() == "/trained/text_search"
    assert folder("--models", "/other") == "/other/text_search"
    assert folder("--models", "/other", "--model", "./mine") == "mine"


def test_a_model_is_named_by_its_name_or_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_MODELS", raising=False)
    for folder in ("models/photos", "photos", "mine", "models/owner-name"):
        (tmp_path / folder).mkdir(parents=True)

    def folder(command, *words):
        asked = parser().parse_args([*command.split(), *words])
        return str(model_folder(asked, "model", required=True))

    ranking = "classes rank --queries a --gallery b --out c"
    for command in ("index images", "serve", ranking, "data score fashioniq --part val"):
        assert folder(command, "--model", "photos") == "models/photos"
        assert folder(command, "--model", "./photos") == "photos"
        assert folder(command, "--model", "mine") == "mine"
        assert folder(command, "--model", "open_clip:owner/name") == "models/owner-name"
        with pytest.raises(UserError, match="no model vitamin-s in models: get it with cir models"):
            folder(command, "--model", "vitamin-s")
        with pytest.raises(UserError, match=r"no model in mine/none: train it .*cir models list"):
            folder(command, "--model", "mine/none")


def test_a_missing_model_is_told_of_with_what_mends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIR_MODELS", raising=False)
    assert main(["tag", "add a dog"]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: there is no tagger in models/tagger: train it with make ")
    assert "--models or $CIR_MODELS" in sentence


def test_a_package_that_is_missing_is_told_of_with_its_extra(monkeypatch, capsys):
    def lacking(options):
        raise ModuleNotFoundError("No module named 'qdrant_edge'", name="qdrant_edge.shard")

    monkeypatch.setattr("cir.commands.index._index", lacking)
    assert main(["index", "photos"]) == 1
    assert "pip install '.[app]'" in capsys.readouterr().err


def test_another_missing_module_is_no_sentence(monkeypatch):
    def broken(options):
        raise ModuleNotFoundError("No module named 'of_ours'", name="of_ours")

    monkeypatch.setattr("cir.commands.index._index", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["index", "photos"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the command with pip into a fresh environment that sees our libraries."""
    base = tmp_path_factory.mktemp("installed")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "cir", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (base / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, base / "source" / name)
    venv.create(base / "env", with_pip=False, symlinks=True)
    (packages,) = (base / "env" / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = base / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", str(base / "source")], cwd=base, check=True
    )
    shutil.rmtree(base / "source")
    return base / "env" / "bin" / "cir"


@pytest.mark.recipes
def test_an_installed_command_searches_a_folder_from_another(installed, encoder, tmp_path):
    place = make_place(tmp_path / "place", encoder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    models = ("--models", place / "models")
    index = [installed, "index", place / "images", *models, "--model", "encoder"]
    done = subprocess.run(index, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 indexed" in done.stdout
    with (
        serving(elsewhere, *models, command=(str(installed),), path="") as (_, address),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        found = client.post("/search/text", json={"text": "red", "limit": 1})
        assert len(found.json()["hits"]) == 1
        assert "<form" in client.get("/").text
        assert client.get("/static/page.js").status_code == 200
    assert not (elsewhere / "cir").exists()
