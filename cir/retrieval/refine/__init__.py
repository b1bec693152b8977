"""Refine a first ranking: query expansion and k-reciprocal re-ranking.

`nearest` finds neighbours, `expand` moves queries towards theirs, and `JointGraph` and
`GalleryGraph` give new distances. All take vectors of length one. They help where a query has many
right answers. Do not use them where it has one, as for an edited image: its neighbours are other
images than the target.
"""

from cir.retrieval.refine.k_reciprocal import GalleryGraph, JointGraph, Settings
from cir.retrieval.refine.neighbours import Neighbours, nearest
from cir.retrieval.refine.query_expansion import expand

__all__ = ["GalleryGraph", "JointGraph", "Neighbours", "Settings", "expand", "nearest"]
