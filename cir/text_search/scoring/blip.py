"""BLIP by transformers, behind the interface of an image-text encoder.

Li et al., "BLIP: Bootstrapping Language-Image Pre-training", ICML 2022. Its unimodal encoders are
trained with the image-text contrastive loss (ITC): their features are compared by cosine. Its
image-grounded text encoder, with a head for image-text matching (ITM), reads a text together with
an image; as that has to be done for every pair, it orders again what cosine has found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import BlipForImageTextRetrieval, BlipProcessor
from transformers.utils import logging

from cir.core.errors import UserError

_MATCH_TOKEN = "[ENC]"  # takes the place of [CLS] where a text is read together with an image


class BlipEncoder(nn.Module):
    """A BlipForImageTextRetrieval with its processor."""

    def __init__(self, blip: BlipForImageTextRetrieval, processor: BlipProcessor):
        super().__init__()
        self.blip = blip
        self.resize = processor.image_processor
        self.tokenizer = processor.tokenizer
        for name in ("mean", "std"):
            values = torch.tensor(getattr(self.resize, f"image_{name}"))
            self.register_buffer(f"pixel_{name}", values.view(1, 3, 1, 1), False)

    @classmethod
    def load(cls, model: str) -> "BlipEncoder":
        """Read a hub repository or a folder that save_pretrained wrote, with its processor.

        Raises UserError where either is missing, or the weights are those of another model.
        """
        noise = logging.get_verbosity()
        logging.set_verbosity_error()  # of weights that are missing we have more to say
        try:
            processor = BlipProcessor.from_pretrained(model)
            blip, info = BlipForImageTextRetrieval.from_pretrained(
                model, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # transformers raises whatever its many sources raise
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise UserError(f'Cannot load BLIP "{model}": {reason}') from error
        finally:
            logging.set_verbosity(noise)
        lacking = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
        if lacking:
            raise UserError(
                f'Cannot load BLIP "{model}": it is no model for image-text retrieval, as weights '
                f"of {len(lacking)} parts are missing or of another shape, such as {lacking[0]}"
            )
        return cls(blip, processor)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.blip.config.image_text_hidden_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pixel_mean.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of what `preprocess` returns."""
        return self.resize.size["height"], self.resize.size["width"]

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Resize an RGB image as the model was trained to see it: uint8 [3, H, W]."""
        resized = self.resize(image, do_rescale=False, do_normalize=False, return_tensors="pt")
        return resized["pixel_values"][0].to(torch.uint8).numpy()

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [B, 3, H, W] → ITC features [B, D], not normalised."""
        return self.blip.vision_proj(self.image_states(pixels)[:, 0]).float()

    def image_states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [B, 3, H, W] → what `match` reads of images, [B, patches + 1, W]."""
        pixels = pixels.to(self.device, non_blocking=True).float() / 255
        pixels = (pixels - self.pixel_mean) / self.pixel_std
        return self.blip.vision_model(pixel_values=pixels).last_hidden_state

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → ITC features [N, D], not normalised."""
        tokens, mask = self._tokens(texts)
        states = self.blip.text_encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        return self.blip.text_proj(states[:, 0]).float()

    def match(self, states: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """How well each text fits the image beside it: [B], the higher the better.

        As in the released evaluation: the ITM head's logit for a match, plus the cosine of the
        ITC features; the text begins with the token that BLIP has for this. `states` [B, P, W]
        are those of `image_states`.
        """
        tokens, mask = self._tokens(texts)
        cosines = functional.cosine_similarity(
            self.blip.vision_proj(states[:, 0]), self.encode_texts(texts), dim=1
        )
        start = self._match_token()
        if start is not None:
            tokens[:, 0] = start
        both = self.blip.text_encoder(
            input_ids=tokens,
            attention_mask=mask,
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(states.shape[:2], device=states.device),
        ).last_hidden_state
        return self.blip.itm_head(both[:, 0])[:, 1].float() + cosines.float()

    def _tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and mask [N, T]; what the model has no room for is cut off at the end."""
        longest = self.blip.config.text_config.max_position_embeddings
        read = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.device)
        return read["input_ids"], read["attention_mask"]

    def _match_token(self) -> int | None:
        """The tokenizer's [ENC]; the last of two words that the model knows beyond it; or None.

        BLIP adds [DEC] and [ENC] to BERT's words, and not every published tokenizer says so.
        """
        known = self.tokenizer.get_vocab()
        words = self.blip.config.text_config.vocab_size
        return known.get(_MATCH_TOKEN, words - 1 if words == len(known) + 2 else None)


@dataclass(frozen=True)
class BlipCandidate:
    """A BLIP to be measured.

    `model`: hub repository or folder. `prompt`: what a query is put into, None: nothing.
    `rerank`: how many of the first images are ordered again by the ITM head, 0: none.
    """

    name: str
    model: str
    prompt: str | None = None
    rerank: int = 0

    def check(self) -> None:
        """Raise UserError for what is certain to fail: a folder that does not exist."""
        parts = Path(self.model).parts
        if not Path(self.model).is_dir() and (len(parts) != 2 or self.model.startswith((".", "/"))):
            raise UserError(
                f'{self.name}: "{self.model}" is neither a folder nor the name of a hub '
                "repository, owner/name"
            )

    def load(self) -> BlipEncoder:
        """The model; UserError where it cannot be loaded."""
        return BlipEncoder.load(self.model)
