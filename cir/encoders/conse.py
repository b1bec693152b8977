"""Join an image classifier and a sentence encoder in one space, without training.

ConSE (Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings",
ICLR 2014, https://arxiv.org/abs/1312.5650) describes an image by the words for its classes: its
vector is the mean of the classes' text vectors, weighted by the classifier's probabilities. Here
that is one part of a vector. The other part compares image and text as distributions over the
classes: an image has the classifier's probabilities p, a text the softmax q of its similarities to
the classes' texts, and the parts are √p and √q, whose dot product is the Bhattacharyya coefficient.
docs/decisions/encoders.md has the figures of both parts.
"""

from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from cir.core.errors import UserError
from cir.encoders import packaged
from cir.encoders.texts import encode_each_once

PACKAGES = "packages"  # the name of the only weights: those of cir.encoders.packaged
NAMES = {f"EfficientNet-Lite{number}-MiniLM": number for number in packaged.EFFICIENTNET_LITE}
_TOKENIZER = "tokenizer.json"
_LONGEST = 128  # tokens of a text, as all-MiniLM-L6-v2 was trained
_SIZE = 320  # pixels; more than in training, because photographs show several things
_SCALARS = (1.5, 0.035, 0.3)  # the temperatures of images and texts; the weight of the words part
_FASTER = 100
# Of ImageNet's names and definitions of a class; their mean describes the class.
_CLASS_TEXTS = ("a photo of a {name}", "{name}: {definition}", "a photo of {definition}")
_TINY = 1e-12  # added to probabilities, because a root has no slope at zero


class SentenceTower(nn.Module):
    """A BERT whose sentence vector is the mean over its tokens, scaled to length one."""

    def __init__(self, transformer: BertModel):
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encode token ids int64 [N, L], padded with zeros, as vectors [N, E]."""
        real = (tokens != 0).long()
        states = self.transformer(tokens, attention_mask=real).last_hidden_state
        weights = real.unsqueeze(2).to(states.dtype)
        mean = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return functional.normalize(mean.float(), dim=1)


class ClassMaps(nn.Module):
    """An EfficientNet that classifies each position of an image.

    The statistics of its batch normalisation stay those of its pretraining: a batch of fine-tuning
    is too small to estimate them.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        # This order of the memory is faster on a processor.
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits [B, P, C] at the P positions of normalised pixels [B, 3, H, W]."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.network.forward_features(pixels).flatten(2).transpose(1, 2)
        return self.network.classifier(features)

    def train(self, mode: bool = True) -> "ClassMaps":
        """Switch to training or evaluation; batch normalisation always evaluates."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class ClassWords(nn.Module):
    """What joins the towers: the classes' text vectors, three scalars and a projection.

    Args:
        classes: C, the number of the classifier's classes.
        words: E, the length of the text vectors.
    """

    def __init__(self, classes: int, words: int):
        super().__init__()
        self.class_vectors = nn.Parameter(torch.zeros(classes, words))
        self.register_buffer("centre", torch.zeros(words))
        # In this form a step of Adam changes their logarithms by a hundred learning rates: a few
        # hundred triplets can teach three numbers much more than a thousand vectors.
        self.scalars = nn.Parameter(torch.tensor(_SCALARS).log() / _FASTER)
        # Fine-tuning learns it, for what no class describes; before, it adds nothing.
        self.projection = nn.Linear(classes, words, bias=False)
        nn.init.zeros_(self.projection.weight)

    def describe(self, class_texts: torch.Tensor) -> None:
        """Take the classes' text vectors [C, E], centred, as all texts will be."""
        with torch.no_grad():
            self.centre.copy_(class_texts.mean(dim=0))
            self.class_vectors.copy_(functional.normalize(class_texts - self.centre, dim=1))

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return vectors [B, C + E] of images, given the logits [B, P, C] of their positions.

        A photograph shows several things, and a softmax over the whole picture leaves one of them.
        So the probabilities are the mean of those of the whole and those of its positions.
        """
        temperature, whole = self._values()[0], logits.mean(dim=1)
        shares = functional.softmax(logits / temperature, dim=2).mean(dim=1)
        shares = (functional.softmax(whole / temperature, dim=1) + shares) / 2
        words = functional.normalize(shares @ self.class_vectors, dim=1)
        return self._joined(shares, words + self.projection(functional.normalize(whole, dim=1)))

    def of_text(self, texts: torch.Tensor) -> torch.Tensor:
        """Return vectors [N, C + E] of texts, given their sentence vectors [N, E]."""
        words = functional.normalize(texts - self.centre, dim=1)
        similar = words @ functional.normalize(self.class_vectors, dim=1).T
        shares = functional.softmax(similar / self._values()[1], dim=1)
        return self._joined(shares, words)

    def _joined(self, shares: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        words = self._values()[2] * functional.normalize(words, dim=1)
        return torch.cat([(shares + _TINY).sqrt(), words], dim=1)

    def _values(self) -> torch.Tensor:
        return (_FASTER * self.scalars).exp()


class ClassifierTower(nn.Module):
    """The image tower: the classes at each position, and the head that makes one vector of them."""

    def __init__(self, model: str, classes: int, size: int, words: int):
        super().__init__()
        network = timm.create_model(model, pretrained=False, num_classes=classes)
        self.trunk, self.head = ClassMaps(network), ClassWords(classes, words)
        self.image_size = size
        self.preprocess_cfg = {
            "size": (size, size),
            "mean": network.default_cfg["mean"],
            "std": network.default_cfg["std"],
            "interpolation": "bicubic",
            "resize_mode": "squash",  # so that nothing at the edges is lost
        }

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode normalised pixels [B, 3, H, W] as vectors [B, C + E]."""
        return self.head(self.trunk(pixels))


class ConSE(nn.Module):
    """Both towers, with the interface of an open_clip model, for cir.encoders.Encoder.

    Args:
        config: see `config_of`.
    """

    def __init__(self, config: dict):
        super().__init__()
        vision, text = config["vision_cfg"], config["text_cfg"]
        self.visual = ClassifierTower(
            vision["timm_model_name"], vision["classes"], vision["image_size"], text["hidden_size"]
        )
        self.text = SentenceTower(
            BertModel(BertConfig(**text, **_NO_DROPOUT), add_pooling_layer=False)
        )
        self.logit_scale = nn.Parameter(torch.tensor(0.07).reciprocal().log())

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode normalised pixels [B, 3, H, W] as vectors [B, D]."""
        return self.visual(pixels)

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encode token ids [N, L] as vectors [N, D]."""
        return self.visual.head.of_text(self.text(tokens))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass."""
        self.visual.trunk.network.set_grad_checkpointing(enable)
        if enable:
            self.text.transformer.gradient_checkpointing_enable()
        else:
            self.text.transformer.gradient_checkpointing_disable()


class SentenceTokenizer:
    """A tokenizer of transformers' fast kind; a text is cut to the model's longest."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(_LONGEST)
        self._tokenizer.enable_padding()

    @classmethod
    def load(cls, folder: Path) -> "SentenceTokenizer":
        """Read a folder that `save` wrote; raises UserError if the file is missing or broken."""
        try:
            return cls(Tokenizer.from_file(str(folder / _TOKENIZER)))
        except Exception as error:  # the library raises no class of its own
            raise UserError(f"{folder / _TOKENIZER} is not a tokenizer: {error}") from None

    def save(self, folder: Path) -> None:
        """Write the tokenizer into an existing folder."""
        self._tokenizer.save(str(folder / _TOKENIZER))

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the token ids int64 [N, L] of N texts, padded with zeros."""
        return torch.tensor([one.ids for one in self._tokenizer.encode_batch(list(texts))])


def is_config(config: dict) -> bool:
    """Tell whether this config of a saved encoder is one of ConSE."""
    return config.get("vision_cfg", {}).get("classes") is not None


def from_packages(name: str, weights: str | None) -> tuple[ConSE, dict, SentenceTokenizer]:
    """Return the model of a name in NAMES with its config and tokenizer.

    Raises UserError if `weights` are not PACKAGES, or the packages are not installed.
    """
    if weights != PACKAGES:
        raise UserError(
            f'encoder.pretrained must be "{PACKAGES}" for "{name}", which is joined from '
            f"pretrained towers; got {weights!r}"
        )
    classifier = packaged.efficientnet_lite(NAMES[name])
    transformer, tokenizer = packaged.minilm()
    config = config_of(classifier.default_cfg["architecture"], 1000, _SIZE, transformer.config)
    model = ConSE(config)
    model.visual.trunk.network.load_state_dict(classifier.state_dict())
    model.text.transformer.load_state_dict(_without_pooler(transformer.state_dict()))
    tokens = SentenceTokenizer(tokenizer.backend_tokenizer)
    model.visual.head.describe(_class_texts(model.text.eval(), tokens))
    return model.eval(), config, tokens


def config_of(tower: str, classes: int, size: int, transformer: BertConfig) -> dict:
    """Return the config of a ConSE in open_clip's form.

    Args:
        tower: timm's name of an EfficientNet.
        classes: of its classifier.
        size: of an image's sides in pixels.
        transformer: the architecture of the sentence encoder.
    """
    text = {key: getattr(transformer, key) for key in _BERT_KEYS}
    return {
        "embed_dim": classes + transformer.hidden_size,
        "vision_cfg": {"timm_model_name": tower, "image_size": size, "classes": classes},
        "text_cfg": text,
    }


_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_BERT_KEYS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"),
)


def _without_pooler(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith("pooler.")}


@torch.inference_mode()
def _class_texts(tower: SentenceTower, tokenizer: SentenceTokenizer) -> torch.Tensor:
    """Return the vectors [1000, E] of ImageNet's classes, from their names and definitions."""
    known, texts = ImageNetInfo(), []
    for number in range(1000):
        name = known.index_to_description(number, detailed=False)
        definition = known.index_to_description(number, detailed=True).removeprefix(f"{name}: ")
        texts += [form.format(name=name, definition=definition) for form in _CLASS_TEXTS]
    vectors = encode_each_once(texts, lambda batch: tower(tokenizer(batch)), 50)
    return functional.normalize(vectors.view(1000, len(_CLASS_TEXTS), -1).mean(dim=1), dim=1)
