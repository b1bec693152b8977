"""Train the class embedder with batches of P classes with K images each.

The loss pulls images of one class together and pushes classes apart.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_metric_learning.losses import CircleLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from cir.classes.embedder.augmentation import views
from cir.classes.embedder.embedder import ClassEmbedder
from cir.classes.embedder.params import Augmentation
from cir.core.distributed import gather, own_slice
from cir.core.english import listed
from cir.core.errors import UserError
from cir.images.shards import ImageShards
from cir.retrieval.ranking.metrics import class_figures
from cir.retrieval.ranking.ranking import leave_one_out
from cir.training.shared.batches import Pixels
from cir.training.shared.parameter_groups import marked_for_muon, module_groups


@dataclass(frozen=True)
class ClassBatch:
    """A step's batch of B images, of which this process sees b.

    Args:
        pixels: uint8 [b, 3, H, W], this process's images.
        labels: int64 [B], the classes of the images of all processes.
        mined: whether only hard pairs count.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    mined: bool


def read_classes(images: ImageShards) -> list[str]:
    """Return the class of each image of a part of data/classes, in order."""
    return [images.objects(name)[0] for name in images.ids]


def plan_class_batches(
    classes: Sequence[str],
    per_batch: int,
    per_class: int,
    steps: int,
    seed: int,
    processes: int = 1,
) -> list[np.ndarray]:
    """Choose the images of every step: `per_batch` classes (P), `per_class` images of each (K).

    Classes take turns in random order: none comes again before all others have come. The images of
    a class take turns in the same way; a class with fewer than K images gives some of them twice.
    A plan of more steps begins with the same batches.

    Args:
        classes: the class of every image.
        steps: the number of batches.
        processes: the number of processes that share a batch.

    Returns:
        `steps` arrays of P·K image numbers. An image of every class comes before the second image
        of any, so a process, which takes a slice, sees as many classes as possible: batch
        normalisation over few classes would reveal which is which.

    Raises:
        UserError: there are fewer than P classes or P·K images, a class has one image, or the
            processes cannot share a batch evenly with at least two images each.
    """
    members: dict[str, list[int]] = {name: [] for name in sorted(set(classes))}
    for image, name in enumerate(classes):
        members[name].append(image)
    _check(members, per_batch, per_class, processes)
    rng = np.random.default_rng(seed)
    images = [_turns(own, per_class, rng) for own in members.values()]
    chosen = _turns(range(len(members)), per_batch, rng)
    return [np.array([next(images[name]) for name in next(chosen)]).T.ravel() for _ in range(steps)]


def _turns(items: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield groups of `size` items without end; no item comes again before all others have come.

    A group holds an item twice only if there are fewer than `size` items.
    """
    waiting: list[int] = []
    while True:
        group, waiting = waiting[:size], waiting[size:]
        while len(group) < size:
            again = rng.permutation(items).tolist()
            # Items that the group already holds go to the end of the next order.
            again.sort(key=group.__contains__)
            room = size - len(group)
            group, waiting = group + again[:room], again[room:]
        yield group


def _check(
    members: Mapping[str, Sequence[int]], per_batch: int, per_class: int, processes: int
) -> None:
    images = sum(map(len, members.values()))
    if per_batch > len(members) or per_batch * per_class > images:
        raise UserError(
            f"train_class_embedder.classes x images must fit into the training data: got "
            f"{per_batch} classes x {per_class} images, and it has {len(members)} classes with "
            f"{images:,} images"
        )
    lone = [name for name, own in members.items() if len(own) == 1]
    if lone:
        raise UserError(
            f"{len(lone)} of {len(members)} training classes have one image, and training needs "
            f"pairs: {listed(lone)}"
        )
    share, over = divmod(per_batch * per_class, processes)
    if over or share < 2:
        raise UserError(
            f"{processes} processes cannot share train_class_embedder.classes x images evenly, "
            f"two or more for each: {per_batch} x {per_class}"
        )


class ClassBatches(Dataset):
    """A dataset whose item s is the batch of step s.

    Args:
        pixels: the images.
        ids: the ids of the training images.
        classes: the class of each.
        plan: the image numbers of every step (see plan_class_batches).
        augmentation: the random changes of the images.
        mined_from: the first step in which only hard pairs count.
        seed: the seed of the random changes.
    """

    def __init__(
        self,
        pixels: Pixels,
        ids: Sequence[str],
        classes: Sequence[str],
        plan: Sequence[np.ndarray],
        augmentation: Augmentation,
        mined_from: int,
        seed: int,
    ):
        self._pixels, self._ids, self._plan = pixels, ids, plan
        number = {name: place for place, name in enumerate(sorted(set(classes)))}
        self._labels = torch.tensor([number[name] for name in classes])
        self._augmentation, self._mined_from, self._seed = augmentation, mined_from, seed

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> ClassBatch:
        items = self._plan[step]
        own = own_slice(len(items))
        pixels = self._pixels.get([self._ids[item] for item in items[own]])
        # Seeds are drawn for the whole batch, so the number of processes changes no view.
        seeds = np.random.default_rng((self._seed, step)).integers(2**62, size=len(items))
        seen = views(self._augmentation, pixels, seeds[own].tolist())
        return ClassBatch(seen, self._labels[items], step >= self._mined_from)


class ClassObjective(nn.Module):
    """Compute the Circle loss over all pairs of a batch or, once mined, over the hard pairs.

    Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020,
    equation 6. Multi-Similarity mining chooses the hard pairs (Wang et al., CVPR 2019, equations 6
    and 7). Each of several processes computes the loss over the images of all; batch normalisation
    sees only the images of its process.

    Args:
        embedder: the model to train.
        margin: m; positive pairs aim at a similarity above 1 − m, negative pairs below m.
        scale: γ.
        mining_margin: ε, how much easier than the hardest pair a pair may be and still count.
    """

    def __init__(self, embedder: ClassEmbedder, margin: float, scale: float, mining_margin: float):
        super().__init__()
        self.embedder = embedder
        self._loss = CircleLoss(m=margin, gamma=scale)
        self._miner = MultiSimilarityMiner(epsilon=mining_margin)

    def forward(self, batch: ClassBatch) -> dict[str, torch.Tensor]:
        """Return the loss by its name."""
        unit = gather(functional.normalize(self.embedder.encode_images(batch.pixels), dim=1))
        labels = batch.labels.to(unit.device)
        # The sums of exponents need float32, whatever precision the towers use.
        with torch.autocast(unit.device.type, enabled=False):
            pairs = self._miner(unit.detach(), labels) if batch.mined else None
            return {"circle": self._loss(unit, labels, pairs)}


def optimiser_groups(
    embedder: ClassEmbedder, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict]:
    """Return parameter groups for torch.optim; lower layers of the tower learn more slowly.

    The head and the pooling learn at the full rate, and the rate of the tower's layers decays with
    depth as in BEiT (Bao et al. 2022, section 3.1), by timm. Vectors and scalars (biases, norms,
    GeM's exponent) have no weight decay.

    Args:
        layer_decay: the factor from each layer to the one below; 1 gives all layers one rate.

    Raises:
        UserError: timm finds no layers in the tower, so `layer_decay` would have no effect.
    """
    tower = embedder.backbone.tower
    spared = tower.no_weight_decay() if hasattr(tower, "no_weight_decay") else ()
    groups = param_groups_layer_decay(tower, weight_decay, spared, layer_decay=layer_decay)
    if layer_decay < 1 and len({group["lr_scale"] for group in groups}) == 1:
        raise UserError(
            f"train_class_embedder.layer_decay {layer_decay} would have no effect: timm finds no "
            f"layers in {type(tower).__name__}"
        )
    of_tower = [
        {
            "params": group["params"],
            "lr": learning_rate * group["lr_scale"],
            "weight_decay": group["weight_decay"],
        }
        for group in groups
    ]
    rest = nn.ModuleList([embedder.backbone.pooling, embedder.head])
    of_rest = module_groups(rest, learning_rate, weight_decay)
    return marked_for_muon(of_tower, tower) + of_rest


def validation(
    embedder: ClassEmbedder,
    pixels: Pixels,
    ids: Sequence[str],
    classes: Sequence[str],
    batch_size: int,
) -> Callable[[], dict[str, float]]:
    """Return a function that measures the embedder: each image looks for its class among the
    other images.
    """

    def measure() -> dict[str, float]:
        vectors = []
        for start in range(0, len(ids), batch_size):
            with torch.inference_mode():
                features = embedder.encode_images(pixels.get(ids[start : start + batch_size]))
            vectors.append(functional.normalize(features, dim=1).cpu().numpy())
        found = class_figures(leave_one_out(np.concatenate(vectors), classes))
        return {"map": found["map"], "recall_at_1": found["recall@1"], "score": found["map"]}

    return measure
