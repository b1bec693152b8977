"""The walk along imports, on a small repository with every way of importing."""

import pytest

from tools.code_deps import by_folder, code_deps, imported_modules

FILES = {
    "stages/__init__.py": "import cir.params",
    "stages/train.py": "from cir import model\nimport json, torch.nn",
    "stages/score.py": "def main():\n    import cir.rank.fast as fast",
    "cir/__init__.py": "",
    "cir/params.py": "",
    "cir/model/__init__.py": "from .layers import Attention\nfrom .. import tensors",
    "cir/model/layers.py": "from cir.losses import contrast  # a name, not a module",
    "cir/model/unused.py": "",
    "cir/model/sizes.json": "{}",
    "cir/model/presets/small.json": "{}",
    "cir/model/presets/template.py": "",
    "cir/model/presets/__pycache__/template.pyc": "",
    "cir/model/__pycache__/layers.pyc": "",
    "cir/losses.py": "from cir import params, torch_version",
    "cir/tensors.py": "import cir.losses",
    "cir/rank/__init__.py": "",
    "cir/rank/fast.py": "from cir.rank import slow",
    "cir/rank/slow.py": "from cir.rank.fast import nearest",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_training_runs(root):
    assert code_deps("train", root) == [
        "cir/__init__.py",
        "cir/losses.py",
        "cir/model/__init__.py",
        "cir/model/layers.py",
        "cir/model/presets/small.json",
        "cir/model/presets/template.py",
        "cir/model/sizes.json",
        "cir/params.py",
        "cir/tensors.py",
        "stages/__init__.py",
        "stages/train.py",
    ]


def test_imports_in_functions_and_circles_count(root):
    assert code_deps("score", root) == [
        "cir/__init__.py",
        "cir/params.py",
        "cir/rank/__init__.py",
        "cir/rank/fast.py",
        "cir/rank/slow.py",
        "stages/__init__.py",
        "stages/score.py",
    ]


def test_imported_modules_are_those_of_one_file(root):
    assert imported_modules(root / "cir/model/__init__.py", root) == {
        "cir",
        "cir.model.layers",
        "cir.tensors",
    }
    assert imported_modules(root / "cir/losses.py", root) == {"cir", "cir.params"}


def test_packages_as_folders():
    deps = ["cir/__init__.py", "cir/composers/sum.py", "cir/composers/tirg.py", "stages/score.py"]
    assert by_folder([*deps, "cir/encoders/model_configs/a.json"]) == [
        "cir/__init__.py",
        "cir/composers",
        "cir/encoders",
        "stages/score.py",
    ]
