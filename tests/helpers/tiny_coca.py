"""A tiny CoCa that open_clip knows by name, with a file of random weights, as if published."""

import json
from contextlib import contextmanager

import open_clip
import pytest
import torch

TINY = "coca_tiny_of_these_tests"
_TEXT = {"context_length": 76, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
_VISION = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {
        **_VISION,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
    "text_cfg": {**_TEXT, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**_TEXT, "attn_pooler_heads": 2},
    "custom_text": True,
}


@contextmanager
def registered(folder):
    """While it lasts, open_clip builds TINY; gives the file of its weights."""
    (folder / f"{TINY}.json").write_text(json.dumps(_CONFIG))
    with pytest.MonkeyPatch.context() as patched:
        for name in ("_MODEL_CONFIG_PATHS", "_MODEL_CONFIGS"):
            known = getattr(open_clip.factory, name)
            patched.setattr(open_clip.factory, name, known.copy())
        open_clip.add_model_config(folder / f"{TINY}.json")
        torch.manual_seed(4)
        model = open_clip.create_model(TINY)
        weights = {n: torch.randn(w.shape) * 0.5 for n, w in model.state_dict().items()}
        weights["logit_scale"] = torch.tensor(2.0)
        torch.save(weights, folder / "weights.pt")
        yield folder / "weights.pt"
