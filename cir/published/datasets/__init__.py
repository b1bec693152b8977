"""Read the published datasets of composed retrieval in their own layouts, and draw one more.

Each dataset gives `QuerySet`s (see `base`) and `TrainingPairs` (see `pairs`). Its paper fixes its
galleries, answers and rule for training pairs. So the datasets are apart from `cir.datasets`, whose
sources all become train, val and test shards of the main pipeline.
"""

from cir.published.datasets.base import PublishedDataset, Query, QuerySet
from cir.published.datasets.circo import CIRCO
from cir.published.datasets.cirr import CIRR
from cir.published.datasets.drawn_attributes import DrawnAttributes
from cir.published.datasets.fashion200k import Fashion200k
from cir.published.datasets.fashioniq import FashionIQ
from cir.published.datasets.mit_states import MITStates
from cir.published.datasets.pairs import TrainingPairs

DATASETS: dict[str, type[PublishedDataset]] = {
    "mit_states": MITStates,
    "fashion200k": Fashion200k,
    "fashioniq": FashionIQ,
    "cirr": CIRR,
    "circo": CIRCO,
    "drawn_attributes": DrawnAttributes,
}


def name_of(dataset: PublishedDataset) -> str:
    """Return the dataset's name in DATASETS."""
    return next(name for name, kind in DATASETS.items() if type(dataset) is kind)


__all__ = ["DATASETS", "PublishedDataset", "Query", "QuerySet", "TrainingPairs", "name_of"]
