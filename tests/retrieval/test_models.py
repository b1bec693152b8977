"""Test the catalogue of models and the folders that models get."""

import subprocess
import sys
from pathlib import Path

import pytest

from cir.core.errors import UserError
from cir.retrieval.models import PRESETS, folder_name, model_folder
from cir.retrieval.models.catalogue import SOURCES
from tests.helpers import ROOT


def test_the_catalogue_imports_no_large_library():
    script = (
        "import sys, cir.retrieval.models\n"
        "print({'torch', 'open_clip', 'transformers', 'numpy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "set()\n", ran.stderr


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_complete_and_open_clip_knows_its_weights(name):
    import open_clip

    preset = PRESETS[name]
    assert preset.source.startswith(SOURCES)
    assert preset.megabytes > 0
    assert folder_name(name) == name
    if preset.source.startswith("open_clip:"):
        model, tag = preset.source.removeprefix("open_clip:").split("/")
        weights = open_clip.get_pretrained_cfg(model, tag)["hf_hub"]
        assert preset.page.endswith(weights.rpartition("/")[0])


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("open_clip:ViT-B-32/openai", "vit-b-32-openai"),
        ("open_clip:ViTamin-S//data/My Weights.bin", "vitamin-s-data-my-weights.bin"),
        ("hf-hub:laion/CLIP-ViT-B-32", "clip-vit-b-32"),
        ("local-dir:/data/models/Mine/", "mine"),
        ("packages:EfficientNet-Lite2-MiniLM", "efficientnet-lite2-minilm"),
        ("my_model.v2", "my_model.v2"),
    ],
)
def test_a_source_gets_a_plain_folder_name(name, folder):
    assert folder_name(name) == folder


@pytest.mark.parametrize("name", ["", "../other", "a/b", ".hidden", "hf-hub:", "local-dir:/"])
def test_a_name_that_could_leave_the_folder_of_models_is_refused(name):
    with pytest.raises(UserError):
        folder_name(name)


def test_a_model_that_is_not_there_is_told_of_with_the_command_that_gets_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no folder models
    (tmp_path / "vit-b-32-openai").mkdir()
    found = model_folder(tmp_path, "open_clip:ViT-B-32/openai")
    assert found == tmp_path / "vit-b-32-openai"
    with pytest.raises(UserError) as told:
        model_folder(Path("models"), "photos")
    assert str(told.value) == (
        "there is no model photos in models: get it with cir models get photos"
    )
    with pytest.raises(UserError, match=f"cir models get vitamin-s --models {tmp_path}"):
        model_folder(tmp_path, "vitamin-s")


def test_the_page_lists_the_presets_as_the_catalogue_has_them():
    """docs/models.md, "Which model": name, what it is, size, licence, where it is from."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    section = page.partition("## Which model")[2].partition("\n## ")[0]
    listed = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:3] == "| `"]
    assert [(name, size, licence) for name, _, size, licence, _ in listed] == [
        (f"`{name}`", f"{preset.megabytes:,} MB", preset.licence)
        for name, preset in PRESETS.items()
    ]
