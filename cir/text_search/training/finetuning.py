"""Fine-tune an encoder on images with captions, in the way that such encoders are pre-trained.

Goyal et al., "Finetune Like You Pretrain", CVPR 2023, https://arxiv.org/abs/2212.00638: instead of
a new head with another loss, train both towers and the temperature with CLIP's contrastive loss.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from cir.core.distributed import gather, own_slice
from cir.encoders import Encoder
from cir.encoders.texts import encode_each_once
from cir.text_search.training.hard_negatives import altered_captions
from cir.training.shared.batches import Pixels
from cir.training.shared.losses import multi_positive_info_nce


@dataclass(frozen=True)
class CaptionBatch:
    """This process's images, uint8 [b, 3, H, W], and the captions of all B images of the batch."""

    pixels: torch.Tensor
    captions: list[list[str]]


class CaptionBatches(Dataset):
    """A dataset whose item s is the batch of step s.

    Args:
        pixels: the images.
        captions: the captions of each image id, at least one.
        plan: the positions in `captions` of every step's images (see
            cir.training.shared.batches.plan_batches).
        each: the most captions of an image in a step, drawn anew for every step.
        seed: the seed of this draw.
    """

    def __init__(
        self,
        pixels: Pixels,
        captions: Mapping[str, Sequence[str]],
        plan: Sequence[np.ndarray],
        each: int,
        seed: int,
    ):
        self._pixels, self._captions, self._plan = pixels, captions, plan
        self._each, self._seed = each, seed
        self._ids = list(captions)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> CaptionBatch:
        ids = [self._ids[item] for item in self._plan[step]]
        draw = np.random.default_rng((self._seed, step))
        captions = [
            [self._captions[name][place] for place in draw.permutation(len(self._captions[name]))]
            for name in ids
        ]
        pixels = self._pixels.get(ids[own_slice(len(ids))])
        return CaptionBatch(pixels, [own[: self._each] for own in captions])


class CaptionObjective(nn.Module):
    """Compute CLIP's loss of a CaptionBatch (Radford et al. 2021, figure 3).

    Each caption has to find its image in the batch. Each image has to find its captions among all
    captions and, with `hard_negatives`, among altered captions too (see
    cir.text_search.training.hard_negatives). Images with the same caption both count as right.

    Args:
        encoder: the encoder, of which both towers and the temperature are trained.
        hard_negatives: None uses no altered captions. A number is the weight of a second loss, the
            logistic loss of an image's logits for its caption and for the altered caption; with 0,
            altered captions are only negatives of the first loss.
        seed: the seed of the alterations.
    """

    def __init__(self, encoder: Encoder, hard_negatives: float | None = None, seed: int = 0):
        super().__init__()
        self.encoder, self.hard_negatives, self.seed = encoder, hard_negatives, seed

    def forward(self, batch: CaptionBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name, equal on every process."""
        image = gather(self.encoder.encode_images(batch.pixels))
        texts, described = texts_described(batch.captions)
        wrong, of = self._made_wrong(batch.captions)
        text = self.encoder.encode_texts([*texts, *wrong])
        described = described.to(image.device)
        scale = self.encoder.clip.logit_scale.exp().clamp(max=100)
        # Compared in float32, as in cir.training.composition.
        with torch.autocast(image.device.type, enabled=False):
            text = functional.normalize(text, dim=1)
            logits = scale * functional.normalize(image, dim=1) @ text.T
            true = logits[:, : len(texts)]
            answers = functional.pad(described, (0, len(wrong)))
            forward = multi_positive_info_nce(logits, answers)
            backward = multi_positive_info_nce(true.T, described.T)
            losses = {"contrastive": (forward + backward) / 2}
            if self.hard_negatives is not None:
                losses["made_wrong"] = self.hard_negatives * _nearer(logits, texts, of)
            return losses

    def _made_wrong(
        self, captions: Sequence[Sequence[str]]
    ) -> tuple[list[str], list[tuple[int, str, int]]]:
        if self.hard_negatives is None:
            return [], []
        # The seed depends only on the captions, so a resumed run makes the same alterations.
        digest = zlib.crc32("\n".join(text for own in captions for text in own).encode())
        return altered_captions(captions, np.random.default_rng((self.seed, digest)))


def _nearer(
    logits: torch.Tensor, texts: Sequence[str], of: Sequence[tuple[int, str, int]]
) -> torch.Tensor:
    """Return the mean of log(1 + exp(wrong − true)) over altered captions, or 0 without any."""
    if not of:
        return logits.sum() * 0
    column = {text: number for number, text in enumerate(texts)}
    images = [image for image, _, _ in of]
    true = logits[images, [column[text] for _, text, _ in of]]
    wrong = logits[images, [len(texts) + number for _, _, number in of]]
    return functional.softplus(wrong - true).mean()


def texts_described(captions: Sequence[Sequence[str]]) -> tuple[list[str], torch.Tensor]:
    """Return the T different captions of B images, and bool [B, T]: which describes which."""
    column: dict[str, int] = {}
    for own in captions:
        for text in own:
            column.setdefault(text, len(column))
    table = torch.zeros(len(captions), len(column), dtype=torch.bool)
    for row, own in enumerate(captions):
        table[row, [column[text] for text in own]] = True
    return list(column), table


def captions_by_image(captioned: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group (image id, caption) pairs by image, in order."""
    captions: dict[str, list[str]] = {}
    for name, text in captioned:
        captions.setdefault(name, []).append(text)
    return captions


@torch.inference_mode()
def caption_score(
    encoder: Encoder,
    pixels: Pixels,
    captioned: Sequence[tuple[str, str]],
    batch_size: int = 256,
) -> float:
    """Return the mean reciprocal rank of each caption's image among all images.

    Ties count against the image.
    """
    ids = list(dict.fromkeys(name for name, _ in captioned))
    row_of = {name: row for row, name in enumerate(ids)}
    images = torch.cat(
        [
            encoder.encode_images(pixels.get(ids[start : start + batch_size]))
            for start in range(0, len(ids), batch_size)
        ]
    )
    texts = encode_each_once([text for _, text in captioned], encoder.encode_texts)
    similarity = functional.normalize(texts, dim=1) @ functional.normalize(images, dim=1).T
    own = torch.tensor([row_of[name] for name, _ in captioned], device=similarity.device)
    right = similarity.gather(1, own[:, None])
    ranks = (similarity >= right).sum(dim=1)
    return float((1 / ranks).mean())


def mixed(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Return (1 − share) · before + share · after; integer weights (counters) are those after.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), CVPR 2022,
    https://arxiv.org/abs/2109.01903, equation 1. The mixture learns the new task without losing the
    old one: here, sentences and edits.
    """
    assert before.keys() == after.keys(), "the weights are of one model"
    return {
        name: torch.lerp(before[name].to(weight), weight, share)
        if weight.is_floating_point()
        else weight
        for name, weight in after.items()
    }
