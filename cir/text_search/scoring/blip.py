"""Give the BLIP of transformers the interface of an image-text encoder.

Li et al., "BLIP: Bootstrapping Language-Image Pre-training", ICML 2022, section 3. The unimodal
encoders are trained with the image-text contrastive loss (ITC), so the cosine compares their
features. The image-grounded text encoder with its head for image-text matching (ITM) reads a text
together with an image. Because it has to read every pair, it only reorders the first images that
the cosine finds.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import BlipConfig, BlipForImageTextRetrieval, BlipProcessor
from transformers.utils import logging

from cir.core.errors import UserError
from cir.core.hub import why_not_fetched

_MATCH_TOKEN = "[ENC]"  # replaces [CLS] when a text is read together with an image


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
        """Read a hub repository, or a folder that save_pretrained wrote, with its processor.

        Raises UserError if one is missing, or if the weights belong to another model.
        """
        noise = logging.get_verbosity()
        logging.set_verbosity_error()  # the error below says more about missing weights
        try:
            BlipConfig.from_pretrained(model)  # the processor's error would hide that of the hub
            processor = BlipProcessor.from_pretrained(model)
            blip, info = BlipForImageTextRetrieval.from_pretrained(
                model, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # transformers raises many kinds
            raise UserError(f'Cannot load BLIP "{model}": {why_not_fetched(error)}') from error
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
        """Return the length of the vectors."""
        return self.blip.config.image_text_hidden_size

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.pixel_mean.device

    @property
    def image_size(self) -> tuple[int, int]:
        """Return the height and width in pixels that `preprocess` produces."""
        return self.resize.size["height"], self.resize.size["width"]

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Resize an RGB image as in training: uint8 [3, H, W]."""
        resized = self.resize(image, do_rescale=False, do_normalize=False, return_tensors="pt")
        return resized["pixel_values"][0].to(torch.uint8).numpy()

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → ITC features [B, D], not normalised."""
        return self.blip.vision_proj(self.image_states(pixels)[:, 0]).float()

    def image_states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels uint8 [B, 3, H, W] → states for `match`, [B, patches + 1, W]."""
        pixels = pixels.to(self.device, non_blocking=True).float() / 255
        pixels = (pixels - self.pixel_mean) / self.pixel_std
        return self.blip.vision_model(pixel_values=pixels).last_hidden_state

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode N texts → ITC features [N, D], not normalised."""
        tokens, mask = self._tokens(texts)
        states = self.blip.text_encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        return self.blip.text_proj(states[:, 0]).float()

    def match(self, states: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Score how well each text fits its image: [B], higher is better.

        As in the released evaluation, the score is the ITM head's logit for a match plus the cosine
        of the ITC features, and the text begins with BLIP's token for matching. `states` [B, P, W]
        come from `image_states`.
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
        """Return tokens and mask [N, T]; the end of a text that is too long is cut off."""
        longest = self.blip.config.text_config.max_position_embeddings
        read = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.device)
        return read["input_ids"], read["attention_mask"]

    def _match_token(self) -> int | None:
        """Return the id of [ENC], or None.

        BLIP adds [DEC] and [ENC] to BERT's words. Some published tokenizers lack them; [ENC] is
        then the second of two words that only the model knows.
        """
        known = self.tokenizer.get_vocab()
        words = self.blip.config.text_config.vocab_size
        return known.get(_MATCH_TOKEN, words - 1 if words == len(known) + 2 else None)
