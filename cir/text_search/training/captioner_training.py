"""Train a captioner: CoCa's two losses, the accuracy of its words, and the parameter groups."""

from collections.abc import Sequence

import torch
from open_clip.loss import CoCaLoss
from torch import nn

from cir.text_search.training.captioner import Captioner
from cir.text_search.training.finetuning import CaptionBatch
from cir.text_search.training.vocabulary import PAD
from cir.training.shared.batches import Pixels


class CaptioningObjective(nn.Module):
    """Compute CoCa's loss of a CaptionBatch (Yu et al. 2022, equation 4), by open_clip.

    A captioner is trained by one process, so the batch is not divided.

    Args:
        captioner: the captioner to train.
        captioning_weight: the weight of the captioning loss; the contrastive loss has weight 1.
    """

    def __init__(self, captioner: Captioner, captioning_weight: float):
        super().__init__()
        self.captioner = captioner
        self.losses = CoCaLoss(captioning_weight, 1.0, pad_id=PAD)

    def forward(self, batch: CaptionBatch) -> dict[str, torch.Tensor]:
        """Return the losses by name."""
        found = self.captioner(batch.pixels, [captions[0] for captions in batch.captions])
        found = {name: value.float() for name, value in found.items() if name != "labels"} | {
            "labels": found["labels"]
        }
        # Autocast would compute the products of the contrastive loss in half precision.
        with torch.autocast(found["logits"].device.type, enabled=False):
            losses = self.losses(**found, output_dict=True)
        return {
            "contrastive": losses["contrastive_loss"],
            "captioning": losses["caption_loss"],
        }


@torch.inference_mode()
def word_accuracy(
    captioner: Captioner,
    pixels: Pixels,
    captioned: Sequence[tuple[str, str]],
    batch_size: int = 256,
) -> float:
    """Return the share of the captions' tokens that are the likeliest given the tokens before."""
    right = total = 0
    for start in range(0, len(captioned), batch_size):
        rows = captioned[start : start + batch_size]
        found = captioner(pixels.get([name for name, _ in rows]), [text for _, text in rows])
        words = found["labels"] != PAD
        right += int((found["logits"].argmax(dim=-1) == found["labels"])[words].sum())
        total += int(words.sum())
    return right / total
