"""`import cir` is quick, and prepares the import of torchvision."""

import subprocess
import sys

import open_clip  # noqa: F401
import torch

from tests.helpers import ROOT


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_importing_cir_imports_no_large_library():
    code = """
import sys
before = set(sys.modules)
import cir
new = {name.split(".")[0] for name in set(sys.modules) - before}
assert new - set(sys.stdlib_module_names) == {"cir"}, new
"""
    ran = run(code)
    assert ran.returncode == 0, ran.stderr


def test_open_clip_can_be_imported_afterwards():
    """This process has done so: see conftest."""
    assert list(sys.modules).index("cir") < list(sys.modules).index("open_clip")
    assert torch.ops.torchvision.nms  # declared by cir or by the compiled library
    assert "_DeclareFirst" not in [type(finder).__name__ for finder in sys.meta_path]


def test_torchvision_can_be_imported_afterwards():
    code = """
import sys
import cir
import torchvision, torch
import torchvision.transforms
torch.ops.torchvision.nms  # declared here or by the compiled library
names = [type(finder).__name__ for finder in sys.meta_path]
assert "_DeclareFirst" not in names, names
"""
    ran = run(code)
    assert ran.returncode == 0, ran.stderr


def test_transformers_can_look_for_torchvision_first():
    ran = run("import cir\nimport transformers\nfrom transformers import AutoModel\nimport timm")
    assert ran.returncode == 0, ran.stderr
