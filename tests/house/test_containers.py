"""The files for containers run this project's commands, in the versions that it pins."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cir.app.settings import Settings
from cir.commands.main import parser
from cir.commands.options import model_folder
from tests.helpers import ROOT

VARIABLES = {"CIR_TOKEN": "a-long-secret", "IMAGES": "/photos"}


@pytest.fixture(scope="module")
def services():
    return YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def behind_nginx():
    return YAML(typ="safe").load((ROOT / "proxy" / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def dockerfile():
    """Return the instructions as (name, rest), with lines joined and without comments."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def only(dockerfile, name):
    (rest,) = [rest for found, rest in dockerfile if found == name]
    return rest


def pinned(package):
    text = (ROOT / "requirements.txt").read_text()
    return re.search(rf"^{re.escape(package)}==(\S+)$", text, re.MULTILINE)[1]


def words(rest):
    """Parse an instruction's list; it is JSON, and therefore YAML."""
    return YAML(typ="safe").load(rest)


def test_both_commands_are_ones_that_the_program_knows(services, dockerfile):
    assert words(only(dockerfile, "ENTRYPOINT")) == ["python", "-m", "cir"]
    alone = parser().parse_args(words(only(dockerfile, "CMD")))
    assert (alone.host, alone.port) == ("0.0.0.0", 8000)
    assert (alone.store, str(alone.index)) == (["/store/images"], "/images")
    assert only(dockerfile, "EXPOSE") == str(alone.port)
    composed = parser().parse_args(services["app"]["command"])
    assert (composed.host, composed.port, str(composed.index)) == ("0.0.0.0", 8000, "/images")
    assert composed.store == ["http://qdrant:6333"]
    assert composed.run == alone.run


def test_three_nodes_make_a_cluster_apart_from_the_app(services):
    nodes = {name: service for name, service in services.items() if name.startswith("qdrant-")}
    assert list(nodes) == ["qdrant-1", "qdrant-2", "qdrant-3"]
    assert "profiles" not in services["qdrant"]
    assert "profiles" not in services["app"]
    for name, node in nodes.items():
        assert node["profiles"] == ["cluster"]
        assert node["image"] == services["qdrant"]["image"]
        assert node["environment"] == {"QDRANT__CLUSTER__ENABLED": "true"}
        assert node["volumes"] == [f"{name}:/qdrant/storage"]
        options = dict(zip(node["command"][1::2], node["command"][2::2], strict=True))
        assert options["--uri"] == f"http://{name}:6335"
        first = nodes["qdrant-1"]["command"][2] if name != "qdrant-1" else None
        assert options.get("--bootstrap") == first
        assert node["ports"] == (["127.0.0.1:6333:6333"] if name == "qdrant-1" else [])


def test_nginx_stands_before_the_same_command_with_a_base_path(services, behind_nginx):
    composed = parser().parse_args(services["app"]["command"])
    proxied = parser().parse_args(behind_nginx["app"]["command"])
    assert proxied.base_path == "/photos"
    assert {**vars(proxied), "base_path": ""} == vars(composed)
    (mounted,) = behind_nginx["proxy"]["volumes"]
    place, inside, mode = mounted.split(":")
    assert (inside, mode) == ("/etc/nginx/conf.d/default.conf", "ro")
    config = (ROOT / place).read_text()
    assert f"location {proxied.base_path} {{" in config
    assert f"proxy_pass http://app:{composed.port};" in config
    assert (
        re.search(r"listen (\d+);", config)[1] == behind_nginx["proxy"]["ports"][0].split(":")[-1]
    )
    megabytes = int(re.search(r"client_max_body_size (\d+)m;", config)[1])
    assert megabytes * 2**20 > Settings().max_upload_bytes + 100_000


def test_what_the_commands_name_is_mounted_where_they_look(services, dockerfile):
    mounted = {volume.rsplit("}:", 1)[1] for volume in services["app"]["volumes"]}
    assert mounted == {"/images:ro", "/app/models:ro"}
    options = parser().parse_args(["serve"])
    assert only(dockerfile, "WORKDIR") == "/app"
    folders = {model_folder(options, name).parent for name in ("model", "tagger")}
    assert folders == {Path("models")}
    made = [rest for name, rest in dockerfile if name == "RUN" and "mkdir" in rest]
    assert any("mkdir /store" in rest for rest in made)
    assert services["app"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]


def test_the_server_of_vectors_is_of_the_client_s_minor_version(services):
    name, _, tag = services["qdrant"]["image"].partition(":")
    assert name == "qdrant/qdrant"
    assert tag.lstrip("v").split(".")[:2] == pinned("qdrant-client").split(".")[:2]


def test_torch_is_installed_in_the_versions_that_are_pinned(dockerfile):
    (line,) = [rest for name, rest in dockerfile if name == "RUN" and "torch==" in rest]
    named = dict(word.split("==") for word in shlex.split(line) if "==" in word)
    assert named == {package: pinned(package) for package in ("torch", "torchvision")}


def test_the_container_runs_as_no_superuser_and_has_time_to_index(dockerfile):
    assert only(dockerfile, "USER") == "app"
    check = only(dockerfile, "HEALTHCHECK")
    assert re.search(r"--start-period=(\d+)h", check)
    command = words(check.split(" CMD ", 1)[1])
    assert "http://127.0.0.1:8000/healthz" in command[-1]
    compile(command[-1], "HEALTHCHECK", "exec")


def composing():
    """Return the command that reads compose.yaml on this machine, or None."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def configured(command, *more, **variables):
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    named = [word for path in ("compose.yaml", *more) for word in ("-f", str(ROOT / path))]
    command = [*command, *named, "config", "-q"]
    return subprocess.run(
        command, env=clean | variables, capture_output=True, text=True, check=False
    )


def test_compose_takes_the_file_and_asks_for_what_it_needs():
    command = composing()
    if command is None:
        pytest.skip("there is no docker compose here")
    whole = configured(command, **VARIABLES)
    assert whole.returncode == 0, whole.stderr
    proxied = configured(command, "proxy/compose.yaml", **VARIABLES)
    assert proxied.returncode == 0, proxied.stderr
    for name in VARIABLES:
        rest = {key: value for key, value in VARIABLES.items() if key != name}
        refused = configured(command, **rest)
        assert refused.returncode != 0
        assert name in refused.stderr
