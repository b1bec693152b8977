"""Print the lines at the end of `make repro`."""

import json
import re

import pytest

from cir.core.errors import UserError
from tests.helpers import ROOT
from tools import summary
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
CLASSES = {
    "class_recall@1": 0.9625,
    "class_map": 0.8512,
    "results": [
        {"what": "plain", "queries": 1500, "protocol": {"classes": "never trained on"}},
        {"what": "colours", "queries": 9, "protocol": {"classes": "trained on"}},
    ],
}
WORDS = {
    "text_ndcg@10": 0.8946,
    "text_mrr": 0.8152,
    "results": [
        {"what": "before", "queries": 400, "gallery_size": 2000},
        {"what": "after", "queries": 1400, "gallery_size": 2500},
    ],
}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Write metrics files with some changes, and return the lines about these parts."""

    def tell(*parts, **changes):
        files = {"tagger": TAGGER, "retrieval": RETRIEVAL, "class_retrieval": CLASSES}
        files["text_search"] = WORDS
        for name, content in files.items():
            text = json.dumps({**content, **changes.get(name, {})})
            (tmp_path / f"{name}.json").write_text(text)
        return lines(parts)

    monkeypatch.setattr(summary, "METRICS", tmp_path)
    return tell


NOVEL = {"what": "novel names", "accuracy": 0.915, "queries": 200}
MAIN_JOB = [
    "tagger      98.8% exact edits, 1,234 sentences of templates and objects never trained on",
    "retriever   98.5% accuracy (95% interval 97.8% to 99.1%), "
    "1,200 queries in a gallery of 6,000 images",
    "            91.5% on the 200 queries with names never trained on",
    "            recall@5 99.8%, recall@10 100.0%, MRR 0.991",
]


def test_the_main_figures_are_told(told):
    assert told(retrieval={"results": [*RETRIEVAL["results"], NOVEL]}) == [
        *MAIN_JOB,
        "classes     96.2% recall@1, mAP 85.1%, 1,500 queries of classes never trained on",
        "words       nDCG@10 0.895, 1,400 sentences, gallery of 2,500 images; MRR 0.815",
    ]


def test_the_main_job_can_be_told_alone(told):
    results = {"results": [*RETRIEVAL["results"], NOVEL]}
    assert told("tagger", "retriever", retrieval=results) == MAIN_JOB


def test_a_source_without_novel_names_has_no_line_for_them(told):
    first = [line.split()[0] for line in told()]
    assert first == ["tagger", "retriever", "recall@5", "classes", "words"]


def test_classes_of_training_are_not_called_new(told):
    """The line takes its words from the protocol of the plain ranking."""
    plain = {"queries": 20, "protocol": {"classes": "trained on"}}
    lines = told(class_retrieval={"results": [plain]})
    assert lines[-2].endswith("20 queries of classes trained on")


def test_a_file_that_is_not_made_yet_is_named(told, tmp_path):
    told()
    (tmp_path / "tagger.json").unlink()
    with pytest.raises(UserError, match=r"tagger\.json does not exist"):
        lines(["tagger"])


def test_the_committed_metrics_have_what_is_told(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["summary"])
    monkeypatch.chdir(ROOT)
    summary.main()
    told = capsys.readouterr().out.splitlines()
    (line,) = [line for line in told if line.startswith("classes ")]
    share = r"[\d.]+%"
    assert re.fullmatch(rf"classes +{share} recall@1, mAP {share}, [\d,]+ queries of .+", line)
