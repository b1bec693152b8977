"""A first ranking made better: query expansion and k-reciprocal re-ranking.

Both are for galleries with many right answers to a query. Where there is one, as for an edited
image, its neighbours are other images than the one that is wanted.
"""

from cir.retrieval.refine.k_reciprocal import GalleryGraph, JointGraph, Settings
from cir.retrieval.refine.neighbours import Neighbours, nearest
from cir.retrieval.refine.query_expansion import expand

__all__ = ["GalleryGraph", "JointGraph", "Neighbours", "Settings", "expand", "nearest"]
