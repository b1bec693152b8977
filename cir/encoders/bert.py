"""A BERT that stands still as a text encoder: how ComposeAE reads texts."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoTokenizer

from cir.core import files
from cir.core.errors import UserError
from cir.core.weights import weights_digest

_FOLDER = "bert"
_REMEMBERED = 100_000  # vectors; of BERT-base 300 MB


class FrozenBert(nn.Module):
    """The mean over a text's tokens of BERT's last layer but one.

    That is what ComposeAE asked of a server, bert-as-service, in its default settings: pooling
    REDUCE_MEAN over layer −2, [CLS] and [SEP] among the tokens, texts cut to 25 tokens
    (https://bert-as-service.readthedocs.io, version 1.9). Here the texts of a batch are encoded
    together in this process, and each text once.

    Its weights are no part of the module's state: they never change, and would make every
    checkpoint of a training 400 MB larger.

    Args:
        model: any encoder of transformers' that gives its hidden states.
        tokenizer: its tokenizer.
        longest: tokens that a text is cut to.
    """

    SETTINGS = "bert.json"

    def __init__(self, model: nn.Module, tokenizer, longest: int):
        super().__init__()
        self._outside = (model.eval().requires_grad_(False), tokenizer)  # a tuple is no submodule
        self.longest = longest
        self._known: dict[str, torch.Tensor] = {}

    @classmethod
    def create(cls, checkpoint: str, longest: int) -> "FrozenBert":
        """One by a folder or by its name on the hub, such as "bert-base-uncased".

        Raises UserError if the name leads nowhere, the hub is out of reach, or the weights are of
        another architecture.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint)
            model, report = AutoModel.from_pretrained(checkpoint, output_loading_info=True)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"texts.checkpoint: {checkpoint!r} is neither a folder with, nor within reach on "
                f"the hub, a text encoder that transformers loads: {reason}"
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
        """Read what `save` wrote."""
        return cls.create(str(folder / _FOLDER), **files.read_json(folder / cls.SETTINGS))

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and settings into an existing folder."""
        files.write_json(folder / self.SETTINGS, {"longest": self.longest})
        for part in self._outside:
            part.save_pretrained(folder / _FOLDER)

    def _apply(self, fn, recurse: bool = True):
        """Move the model along, though it is no submodule."""
        self._outside[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @property
    def dim(self) -> int:
        """Length of the vectors: 768 for BERT-base."""
        return self._outside[0].config.hidden_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._outside[0].device

    def fingerprint(self) -> str:
        """A short digest of weights and settings: equal iff the vectors would be."""
        return files.fingerprint(weights_digest(self._outside[0]), self.longest)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → vectors [N, E], which need no gradient; [0, E] for no texts."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        fresh = dict(zip(new, self._encode(new), strict=True)) if new else {}
        rows = [fresh[text] if text in fresh else self._known[text] for text in texts]
        self._remember(fresh)
        return torch.stack(rows).to(self.device)

    def _remember(self, fresh: dict[str, torch.Tensor]) -> None:
        """Keep what is new, and of all the latest."""
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
