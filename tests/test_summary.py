"""The lines at the end of `make repro`."""

from tools.summary import lines

TAGGER = {
    "splits": [
        {"split": "seen", "exact_edit": 1.0, "count": 5},
        {"split": "both_unseen", "exact_edit": 0.9876, "count": 1234},
    ]
}
RETRIEVAL = {
    "accuracy": 0.985,
    "interval95": [0.978, 0.9912],
    "recall@5": 0.998,
    "recall@10": 1.0,
    "mrr": 0.99123,
    "results": [{"what": "tagged edits", "queries": 1200, "gallery_size": 6000}],
}


def test_the_main_figures_are_told():
    novel = {"what": "novel names", "accuracy": 0.915, "queries": 200}
    retrieval = {**RETRIEVAL, "results": [*RETRIEVAL["results"], novel]}
    assert lines(TAGGER, retrieval) == [
        "tagger      98.8% exact edits, 1,234 sentences of templates and objects never trained on",
        "retriever   98.5% accuracy (95% interval 97.8% to 99.1%), "
        "1,200 queries in a gallery of 6,000 images",
        "            91.5% on the 200 queries with names never trained on",
        "            recall@5 99.8%, recall@10 100.0%, MRR 0.991",
    ]


def test_a_source_without_novel_names_has_no_line_for_them():
    assert not any("never trained" in line for line in lines(TAGGER, RETRIEVAL)[1:])
