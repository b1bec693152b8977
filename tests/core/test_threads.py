"""Threads that wait for each other sleep, in every entry point."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cir.core import threads
from tests.helpers import ROOT

ENTRIES = ("stages.params", "cir.commands.main", "cir.app.settings", "speed.workload")


def run(code):
    """What a fresh process without settings of its own prints on standard error."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stderr


def test_the_library_reads_the_setting():
    """GNU's library prints its settings as soon as it is loaded; torch itself is not needed."""
    found = [*Path(find_spec("torch").origin).parent.glob("lib/libgomp*")]
    if not found:
        pytest.skip("the OpenMP library of this torch is not GNU's")
    load = f"import ctypes\nctypes.CDLL({str(found[0])!r})\n"
    assert "GOMP_SPINCOUNT = '1000'" in run(f"import cir\n{load}")
    assert "GOMP_SPINCOUNT = '1000'" not in run(f"{load}import cir")  # too late


@pytest.mark.parametrize("module", ENTRIES)
def test_entries_set_it_before_torch_is_imported(module):
    """The process ends when torch is first imported, or when the module is."""
    code = f"""
import os, sys
def look(event, arguments):
    if event == "import" and arguments[0] == "torch":
        end()
def end():
    os._exit(os.environ.get("GOMP_SPINCOUNT") != "1000")
sys.addaudithook(look)
import {module}
end()
"""
    run(code)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_the_users_own_setting_stays(name, monkeypatch):
    for other in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "7")
    threads.wait_asleep()
    assert os.environ[name] == "7"
    assert ("GOMP_SPINCOUNT" in os.environ) == (name == "GOMP_SPINCOUNT")
