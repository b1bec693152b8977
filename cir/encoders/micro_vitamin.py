"""A ViTamin small enough to be trained from scratch in minutes on two CPU cores.

ViTamin (Chen et al., "ViTamin: Designing Scalable Vision Models in the Vision-Language Era",
CVPR 2024, https://arxiv.org/abs/2404.02132) is a convolutional stem, two stages of MBConv blocks,
and a stage of transformer blocks with gated MLPs. Importing this module registers

- `vitamin_micro_64` with timm: the same stages, a few channels wide, for images of 64 pixels;
- `ViTamin-Micro-64` with open_clip: that image tower beside a text tower of two layers.

The pooling differs from the published models, which average the last tokens. Here learned
detectors score every token, and the image feature is each detector's highest score ("is there a
teal umbrella anywhere?"). Averaging mixes an object with the background around it;
docs/decisions/encoders.md has the figures. Two other poolings are available for comparison.
"""

from functools import partial
from pathlib import Path

import open_clip
import torch
from timm.layers import AttentionPoolLatent, HybridEmbed
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from timm.models.vitamin import GeGluMlp, MbConvLNBlock, Stem, StridedConv
from torch import nn

MODEL_NAME = "ViTamin-Micro-64"
_DETECTORS = 512
_POOLINGS = ("max", "avg", "map")
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class DetectorPooledViTamin(VisionTransformer):
    """A ViTamin whose pooled feature is the maximum of each detector over all tokens.

    `reset_classifier(0, "avg")` takes the mean instead, "map" attention by a learned query.

    Args:
        detectors: number of detectors, which is the length of the pooled feature.
        kwargs: arguments of timm's VisionTransformer.
    """

    def __init__(self, detectors: int, **kwargs):
        super().__init__(class_token=False, global_pool="max", fc_norm=False, **kwargs)
        self.detectors = nn.Linear(self.embed_dim, detectors)
        self.num_features = self.head_hidden_size = detectors
        self.head = nn.Identity()

    def pool(self, x: torch.Tensor, pool_type: str | None = None) -> torch.Tensor:
        """Pool tokens [B, N, C] to [B, detectors]."""
        answers = nn.functional.relu(self.detectors(x))
        if self.attn_pool is not None:
            return self.attn_pool(answers)
        return answers.mean(dim=1) if self.global_pool == "avg" else answers.amax(dim=1)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Set the classifier and, if `global_pool` is given, the pooling: "max", "avg" or "map"."""
        self.num_classes = num_classes
        if global_pool is not None:
            if global_pool not in _POOLINGS:
                raise ValueError(f"pooling must be one of {_POOLINGS}, got {global_pool!r}")
            self.global_pool = global_pool
            attends = global_pool == "map"
            self.attn_pool = (
                AttentionPoolLatent(self.num_features, num_heads=4) if attends else None
            )
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


@register_model
def vitamin_micro_64(pretrained: bool = False, **kwargs) -> DetectorPooledViTamin:
    """Build the micro image tower: 64×64 pixels, 4×4 tokens of width 128, three blocks."""
    if pretrained:
        raise ValueError("vitamin_micro_64 has no published weights; it is trained here.")
    for of_timm in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(of_timm, None)
    # ReLU and an expansion of 2 instead of GELU and 4: at this width memory traffic takes the time,
    # and the saved time pays for twice the channels.
    stages = nn.Sequential(
        Stem(3, 16, act_layer="relu"),
        MbConvLNBlock(16, 32, stride=2, act_layer="relu", expand_ratio=2.0),
        MbConvLNBlock(32, 64, stride=2, act_layer="relu", expand_ratio=2.0),
        StridedConv(in_chans=64, embed_dim=128),
    )
    arguments = {
        "img_size": 64,
        "patch_size": 1,
        "embed_dim": 128,
        "depth": 3,
        "num_heads": 4,
        "mlp_layer": GeGluMlp,
        "mlp_ratio": 2.0,
        "embed_layer": partial(HybridEmbed, backbone=stages, proj=False),
        "num_classes": 0,
    }
    model = DetectorPooledViTamin(_DETECTORS, **{**arguments, **kwargs})
    model.pretrained_cfg = model.default_cfg = {
        "input_size": (3, 64, 64),
        "mean": _CLIP_MEAN,
        "std": _CLIP_STD,
        "classifier": "head",
        "first_conv": "patch_embed.backbone.stem.conv1",
    }
    return model


open_clip.add_model_config(Path(__file__).parent / "model_configs" / f"{MODEL_NAME}.json")
