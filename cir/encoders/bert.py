"""A frozen BERT as text encoder, as in ComposeAE."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoTokenizer

from cir.core import files
from cir.core.errors import UserError
from cir.core.hub import why_not_fetched
from cir.core.weights import weights_digest

_FOLDER = "bert"
_REMEMBERED = 100_000  # vectors, 300 MB for BERT-base


class FrozenBert(nn.Module):
    """Encodes a text as the mean over its tokens of BERT's second last layer.

    ComposeAE gets the same features from a server, bert-as-service, with its default settings:
    pooling REDUCE_MEAN over layer −2, [CLS] and [SEP] included, texts cut to 25 tokens
    (https://bert-as-service.readthedocs.io, version 1.9). Here each text is encoded once, in this
    process.

    The weights are not part of the module's state. They never change, and would add 400 MB to
    every checkpoint.

    Args:
        model: a text encoder of transformers that returns hidden states.
        tokenizer: the model's tokenizer.
        longest: number of tokens to which a text is cut.
    """

    SETTINGS = "bert.json"

    def __init__(self, model: nn.Module, tokenizer, longest: int):
        super().__init__()
        self._outside = (model.eval().requires_grad_(False), tokenizer)  # a tuple hides the module
        self.longest = longest
        self._known: dict[str, torch.Tensor] = {}

    @classmethod
    def create(cls, checkpoint: str, longest: int) -> "FrozenBert":
        """Load a folder or a model of the hub, such as "bert-base-uncased".

        Raises UserError if the name is unknown, the hub is unreachable, or the weights belong to
        another architecture.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint)
            model, report = AutoModel.from_pretrained(checkpoint, output_loading_info=True)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"texts.checkpoint: {checkpoint!r} is neither a folder with, nor within reach on "
                f"the hub, a text encoder that transformers loads: {why_not_fetched(error)}"
            ) from None
        missing = [key for key in report["missing_keys"] if "pooler" not in key]
        if missing:
            raise UserError(
                f"texts.checkpoint: {checkpoint!r} lacks {len(missing)} weights of the "
                f"architecture that its config.json names ({model.config.model_type}), "
                f"{sorted(missing)[0]} for one"
            )
        return cls(model, tokenizer, longest)

    @classmethod
    def load(cls, folder: Path) -> "FrozenBert":
        """Read a folder that `save` wrote."""
        return cls.create(str(folder / _FOLDER), **files.read_json(folder / cls.SETTINGS))

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and settings into an existing folder."""
        files.write_json(folder / self.SETTINGS, {"longest": self.longest})
        for part in self._outside:
            part.save_pretrained(folder / _FOLDER)

    def _apply(self, fn, recurse: bool = True):
        """Move the model to the new device too, although it is not a submodule."""
        self._outside[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @property
    def dim(self) -> int:
        """Return the length of the vectors: 768 for BERT-base."""
        return self._outside[0].config.hidden_size

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self._outside[0].device

    def fingerprint(self) -> str:
        """Return a digest of weights and settings: equal only if the vectors are equal."""
        return files.fingerprint(weights_digest(self._outside[0]), self.longest)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode N texts as vectors [N, E] without gradients."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        fresh = dict(zip(new, self._encode(new), strict=True)) if new else {}
        rows = [fresh[text] if text in fresh else self._known[text] for text in texts]
        self._remember(fresh)
        return torch.stack(rows).to(self.device)

    def _remember(self, fresh: dict[str, torch.Tensor]) -> None:
        """Store new vectors, and drop the oldest ones above the limit."""
        self._known |= fresh
        for text in list(self._known)[: max(0, len(self._known) - _REMEMBERED)]:
            del self._known[text]

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        model, tokenizer = self._outside
        tokens = tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        ).to(self.device)
        states = model(**tokens, output_hidden_states=True).hidden_states[-2]
        real = tokens["attention_mask"].unsqueeze(2).to(states.dtype)
        return ((states * real).sum(dim=1) / real.sum(dim=1)).float().cpu()
