"""k-reciprocal re-ranking as in the paper (Zhong et al., 2017): dense matrices, sets and loops.

Tests take it as the oracle, a benchmark as the baseline. It computes in float64, for unit vectors.
"""

import numpy as np

from cir.retrieval.ranking.ranking import TIE


def dense_joint(queries, gallery, k1, k2, weight):
    """Return the final distance [Q, N] in the graph of queries and gallery together."""
    vectors = np.concatenate([queries, gallery]).astype(np.float64)
    distance = squared_distances(vectors, vectors)
    order = own_first(np.argsort(distance, axis=1, kind="stable"))
    distance = normalised(distance)
    feature = features(distance, order, k1)
    feature = np.array([feature[order[i, :k2]].mean(axis=0) for i in range(len(vectors))])
    count = len(queries)
    jaccard = jaccard_distance(feature[:count], feature[count:])
    return (1 - weight) * jaccard + weight * distance[:count, count:]


def dense_gallery_only(queries, gallery, k1, k2, weight):
    """Return the final distance [Q, N] where each query is added alone to the gallery's graph."""
    queries, gallery = queries.astype(np.float64), gallery.astype(np.float64)
    own = squared_distances(gallery, gallery)
    order = own_first(np.argsort(own, axis=1, kind="stable"))
    feature = features(normalised(own), order, k1)
    expanded = np.array([feature[order[g, :k2]].mean(axis=0) for g in range(len(gallery))])
    rows = []
    for query in queries:
        (plain,) = squared_distances(query[None], gallery)
        near = np.argsort(plain, kind="stable")[:k1]
        # The similarity s is 1 − d / 2.
        reciprocal = {g for g in near if 1 - plain[g] / 2 >= 1 - own[g, order[g, k1]] / 2 - TIE}
        (plain,) = normalised(plain[None])
        mine = feature_of(plain, widened(reciprocal, order, k1))
        mine = np.mean([mine, *(feature[g] for g in near[: k2 - 1])], axis=0)
        jaccard = jaccard_distance(mine[None], expanded)[0]
        rows.append((1 - weight) * jaccard + weight * plain)
    return np.array(rows)


def squared_distances(left, right):
    return np.maximum(2 - 2 * left @ right.T, 0)


def normalised(distance):
    largest = distance.max(axis=1, keepdims=True)
    return distance / np.where(largest > TIE, largest, 1)


def own_first(order):
    return np.array([[row, *(j for j in images if j != row)] for row, images in enumerate(order)])


def reciprocal_set(order, image, k):
    return {j for j in order[image, : k + 1].tolist() if image in order[j, : k + 1]}


def widened(reciprocal, order, k1):
    wide = set(reciprocal)
    for candidate in reciprocal:
        smaller = reciprocal_set(order, candidate, int(np.around(k1 / 2)))
        if len(smaller & reciprocal) > 2 / 3 * len(smaller):
            wide |= smaller
    return wide


def feature_of(distance, members):
    feature = np.zeros(len(distance))
    for member in members:
        feature[member] = np.exp(-distance[member])
    return feature / feature.sum() if members else feature


def features(distance, order, k1):
    sets = (widened(reciprocal_set(order, i, k1), order, k1) for i in range(len(order)))
    return np.array([feature_of(row, members) for row, members in zip(distance, sets, strict=True)])


def jaccard_distance(queries, gallery):
    rows = []
    for query in queries:
        largest = np.maximum(query, gallery).sum(axis=1)
        rows.append(1 - np.minimum(query, gallery).sum(axis=1) / largest)
    return np.array(rows)
