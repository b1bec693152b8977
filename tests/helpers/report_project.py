"""A small run's results, made by hand, for the tests of the report."""

import json
from pathlib import Path

import pandas as pd
from PIL import Image

from cir.edits.reading.word_splitter import split_words

NASTY = '</script></title><img src=x onerror="document.title=1"> add a "red mug" & <b>hat</b>'
PROTOCOL = {
    "gallery": "hard",
    "query": "image and edit",
    "edit": "tagged",
    "reference_kept": True,
    "hit": "the target",
    "ties": "against the target",
    "similarity": "cosine",
}
RECALLS = {"recall@5": 0.9, "recall@10": 0.95, "mrr": 0.8125}


def answer(number, rank=1, answers=None, **changes):
    """The row of a query of the split drawn by conftest; its target is at `rank`."""
    others = [f"miss{number}", *(f"target{(number + step) % 24}" for step in range(1, 6))]
    target = f"target{number}"
    found = answers or [*others[: rank - 1], target, *others[rank - 1 :]][:5]
    sentence = changes.pop("sentence", f"Replace the blue car{number} with a red mug.")
    marks = {"blue": "neg", f"car{number}": "neg", "red": "pos", "mug": "pos"}
    return {
        "query": f"q{number}",
        "kind": "+1 -1",
        "objects": 2,
        "novel": False,
        "sentence": sentence,
        "labels": [marks.get(word, "other") for word in split_words(sentence)],
        "reference": f"reference{number}",
        "target": target,
        "rank": rank,
        "target_score": 0.51 if rank > 5 else 0.9,
        "answers": found,
        "scores": [0.9876, 0.8, 0.7, 0.6, 0.52],
        **changes,
    }


def default_answers():
    """24 queries: number 3 at rank 4, number 7 at rank 9 (out of the five), the others right."""
    rows = [answer(number) for number in range(24)]
    for number in (2, 3, 5):
        rows[number]["kind"] = "+2 -0"
    rows[3] |= answer(3, rank=4, kind="+2 -0", novel=True)
    rows[7] |= answer(7, rank=9)
    rows[5] |= answer(5, sentence=NASTY, kind="+2 -0", novel=True)
    return rows


def retrieval():
    """metrics/retrieval.json for these answers."""
    shares = {"accuracy": 22 / 24, "interval95": [0.75, 0.99], **RECALLS}
    removed = {**PROTOCOL, "reference_kept": False}
    contest = {**PROTOCOL, "gallery": "contest-like"}
    return {
        **shares,
        "results": [
            {"what": "tagged edits", "queries": 24, "gallery_size": 72, **shares}
            | {"protocol": PROTOCOL},
            {"what": "novel names", "queries": 2, "gallery_size": 72, "accuracy": 0.5}
            | {"interval95": [0.0, 1.0], **RECALLS, "protocol": PROTOCOL},
            {"what": "targets and references only", "queries": 24, "gallery_size": 48}
            | {**shares, "accuracy": 0.9375, "protocol": contest},
            {"what": "image only, reference removed", "queries": 24, "gallery_size": 72}
            | {**shares, "accuracy": 0.1234, "mrr_interval95": [0.7, 0.9], "protocol": removed},
        ],
        **by_input(),
        "by_kind": [
            {"kind": "+1 -1", "added": 1, "removed": 1, "queries": 21, "accuracy": 20 / 21},
            {"kind": "+2 -0", "added": 2, "removed": 0, "queries": 3, "accuracy": 2 / 3},
        ],
        "by_objects": [{"objects": 2, "queries": 24, "accuracy": 22 / 24}],
        "errors": [
            {"cause": "own reference", "queries": 0},
            {"cause": "own near miss", "queries": 2},
        ],
        "absent": [{"what": "true edits", "why": "the source gives sentences alone"}],
        "fingerprints": [{"model": "encoder", "fingerprint": "0123456789abcdef"}],
    }


def by_input():
    """What metrics/retrieval.json says of both inputs, of near misses and of other words."""
    shares = {"solved": 0.9167, "edit_shortcuts": 0.3123, "image_shortcuts": 0.0417}
    gap = {**shares, "gap": 0.5678, "gap_interval95": [0.4321, 0.7012], "queries": 24}
    spread = {"mean": 0.8765, "mean_interval95": [0.7654, 0.9543], "best": 0.9583}
    spread |= {"worst": 0.6543, "spread": 0.304, "deviation": 0.1212, "every_way": 0.6251}
    spread |= {"as_written": 0.9167, "ways": 6}
    sentences = "held-out templates with the true objects"
    protocol = {**PROTOCOL, "sentences": sentences, "left_out": "1 of 24 queries, <so> and so"}
    ways = [("Add a <positive_object> & go.", 0.9583), ("<negative_object> out", 0.6543)]
    return {
        "composition_gap": 0.5678,
        "composition": [
            {"k": 1, "reference_kept": True, **gap},
            {"k": 10, "reference_kept": False, **gap, "gap": 0.1357},
        ],
        "near_misses": [
            {"what": "near misses", "queries": 20, "images": 80, "any_ahead": 0.1543}
            | {"any_ahead_interval95": [0.0812, 0.2541], "mean_ahead": 0.275}
        ],
        "paraphrases": [
            {"what": "all queries", "queries": 24, **spread, "protocol": protocol},
            {"what": "+1 -1", "queries": 21, **spread, "mean": 0.8234, "protocol": protocol}
            | {"by_way": [{"asked": asked, "accuracy": share} for asked, share in ways]},
        ],
    }


def tagger():
    """metrics/tagger.json: two splits, the easier one first."""
    confusion = [
        {"true": "other", "other": 901, "pos": 3, "neg": 0},
        {"true": "pos", "other": 2, "pos": 512, "neg": 1},
        {"true": "neg", "other": 0, "pos": 0, "neg": 477},
    ]
    shares = {"span_precision": 0.97, "span_recall": 0.96, "span_f1": 0.965}
    split = {"count": 120, "exact_edit_forgiven": 0.9737, **shares, "confusion": confusion}
    split["by_objects"] = [{"objects": 1, "count": 120, "exact_edit": 0.95}]
    split["by_style"] = [{"style": "polite_rambling", "count": 120, "exact_edit": 0.95}]
    return {
        "tagger_exact_edit": 0.875,
        "tagger_span_f1": 0.965,
        "tagger_people_exact_edit": 0.5625,
        "robustness": [
            {"what": "emoji & so", "count": 120, "changed": 1.0}
            | {"exact_edit": 0.8625, "of_clean": 0.9857}
        ],
        "reliability": [
            {"least": 0.5, "most": 0.8, "count": 30, "confidence": 0.66, "exact_edit": 0.6123},
            {"least": 0.8, "most": 1.0, "count": 90, "confidence": 0.95, "exact_edit": 0.9321},
        ],
        "splits": [
            {"split": "seen", "exact_edit": 0.9625, **split},
            {"split": "both_unseen", "exact_edit": 0.875, **split},
        ],
        "sizes": [{"split": "train", "sentences": 6000}],
    }


def composers():
    """metrics/composers.json: two of them, one without a figure for novel names."""
    row = {
        **{**RECALLS, "recall@10": 0.99, "val_accuracy": 0.8, "by_seed": [0.5, 0.6]},
        **{"queries": 24, "gallery_size": 72, "recall": [{"k": 1, "recall": 0.5}]},
        **{"parameters": 655872, "trainings": 2, "training_seconds": 9.5},
        **{"microseconds_per_query": 11.4, "protocol": PROTOCOL},
    }
    ours = {"composer": "corrected_arithmetic", "text": "none", "accuracy": 0.9817, **row}
    theirs = {"composer": "tirg", "text": "edit", "accuracy": 0.2123, **row}
    return {
        "best_composer": "corrected_arithmetic",
        "best_composer_accuracy": 0.9817,
        "composers": [
            {**ours, "interval95": [0.9746, 0.9889], "novel_accuracy": 0.9654},
            {**theirs, "interval95": [0.1927, 0.2344]},
        ],
    }


CLASS_PROTOCOL = {
    "gallery": "held-out images",
    "classes": "never trained on",
    "vectors": "embedder",
    "refinement": "none",
    "hit": "any image of the query's class",
    "query": "image, not in the gallery",
    "similarity": "cosine",
    "ties": "against the hits",
    "left_out": "3 unreadable",
}


def class_result(what, share, **protocol):
    """A way to rank, with recall@1 and mAP of `share`."""
    return {
        "what": what,
        "recall@1": share,
        "recall@5": 0.975,
        "recall@10": 0.9876,
        "map": share - 0.125,
        "map@r": share - 0.25,
        "recall@1_interval95": [share - 0.0312, share + 0.0234],
        "map_interval95": [share - 0.1512, share - 0.1034],
        "queries": 1500,
        "gallery_size": 3000,
        "protocol": {**CLASS_PROTOCOL, **protocol},
    }


def class_retrieval():
    """metrics/class_retrieval.json: the plain ranking, one of each kind beside it, 12 classes."""
    reranking = {"refinement": "k-reciprocal re-ranking with k1 20, k2 6, weight 0.3"}
    results = [
        class_result("plain", 0.9412),
        class_result("flip-averaged", 0.9532, vectors="flip-averaged"),
        class_result("colour histograms", 0.3245, vectors="colour histograms"),
        class_result("re-ranked, joint", 0.9689, **reranking, graph="joint query-gallery graph"),
        class_result("re-ranked, alone", 0.9567, **reranking, graph="gallery-only graph"),
    ]
    names = ["<b>red</b> & blue", *(f"class {number}" for number in range(2, 13))]
    by_class = [
        {"class": name, "queries": 125, "gallery_images": 250, "recall@1": 0.5 + 0.01 * place}
        | {"recall@5": 0.8, "recall@10": 0.9, "map": 0.4 + 0.0101 * place, "map@r": 0.3}
        for place, name in enumerate(names)
    ]
    return {
        **{"class_recall@1": 0.9412, "class_map": 0.8162, "class_map@r": 0.6912},
        "results": results,
        "by_class": by_class,
        "fingerprints": [{"model": "class embedder", "fingerprint": "fedcba9876543210"}],
    }


def class_embedder():
    """metrics/class_embedder.json."""
    return {
        "class_val_map": 0.8765,
        "class_val_recall@1": 0.95,
        "class_step": 600,
        "class_weights": 663249,
        "class_gem_exponent": 3.2902,
    }


TEXT_PROTOCOL = {
    "text": "as written",
    "least_grade": 3,
    "ranking": "cosine",
    "gallery": "every image of the split",
    "gain": "the grade, over log2(1 + rank)",
    "ties": "against the answers: the lower grade first",
    "interval": "other queries of the same kinds, the same gallery",
}
TEXT_KS = {f"{name}@{k}": 0.25 for name in ("p", "r", "ndcg") for k in (1, 5, 10)}


def text_figures(ndcg, queries):
    """Means over some queries, with nDCG@10 as given."""
    bounds = [round(ndcg - 0.05, 4), round(ndcg + 0.04, 4)]
    figures = {**TEXT_KS, "ndcg@10": ndcg, "mrr": 0.75, "map": 0.5, "queries": queries}
    return (
        figures
        | {"ndcg@10_interval95": bounds, "mrr_interval95": [0.7, 0.8]}
        | {"map_interval95": [0.45, 0.55]}
    )


def text_result(what, ndcg, text="as written"):
    """A system: one kind of query is easier for it than the other."""
    kinds = [("one object", ndcg + 0.04, 100), ("<b>colours</b> of a pair", ndcg - 0.04, 200)]
    return {
        **text_figures(ndcg, 300),
        "what": what,
        "gallery_size": 1234,
        "protocol": {**TEXT_PROTOCOL, "text": text},
        "by_kind": [{"kind": kind, **text_figures(own, count)} for kind, own, count in kinds],
    }


def text_search():
    """metrics/text_search.json: before, before within the prompt, after."""
    return {
        "text_ndcg@10": 0.9123,
        "text_mrr": 0.75,
        "text_map": 0.5,
        "text_ndcg@10_one_object": 0.9523,
        "text_ndcg@10_b_colours_b_of_a_pair": 0.8723,
        "results": [
            text_result("before", 0.6123),
            text_result("before, in the prompt", 0.7123, "a photo of a {}"),
            text_result("after", 0.9123),
        ],
        "fingerprints": [{"model": "text search, after", "fingerprint": "00112233aabbccdd"}],
    }


def encoder_row(name, rate, **changes):
    """A row of metrics/encoders.json."""
    return {
        "name": name,
        "ranking": "cosine",
        **{"ndcg@10": 0.8642, "ndcg@10_interval95": [0.81, 0.89], "r@10": 0.3135, "mrr": 0.876},
        "images_per_second": rate,
        "images_per_second_decoded": 0.9 * rate,
        "queries_per_second": 10 * rate,
        "peak_memory_mb": 765.4,
        "memory_before_mb": 592.6,
        "parameters": 7550673,
        "dim": 256,
        "image_size": [64, 48],
        "queries": 300,
        "gallery_size": 1234,
        "device": "processor, 2 threads",
        "protocol": TEXT_PROTOCOL,
        **changes,
    }


def encoders():
    """metrics/encoders.json: a small encoder, a BLIP that orders again, one that failed."""
    again = "cosine, the first 16 then by matching"
    return {
        "encoders": [
            encoder_row("ours", 2345.6, gpu_memory_mb=1234.4),
            encoder_row("blip <i>large</i>", 3.21),
            encoder_row("blip <i>large</i>", 3.21, ranking=again, **{"ndcg@10": 0.9531}),
        ],
        "failures": [{"name": "far away", "reason": 'Cannot load encoder "hf-hub:a/b": <offline>'}],
    }


TEXT_FILES = ("text_search.json", "pictures/text_search.jpg", "encoders.json")


def write_text_results(folder):
    """Write the files on search by words that the report reads, beside those of write_results."""
    metrics = Path(folder) / "metrics"
    for name, content in (("text_search", text_search()), ("encoders", encoders())):
        (metrics / f"{name}.json").write_text(json.dumps(content))
    sheet = Image.linear_gradient("L").resize((90, 30))
    sheet.save(metrics / "pictures/text_search.jpg")


TABLES = {
    "ablation.csv": "variant,accuracy\nas trained,0.9167\nimage half,0.4321\n",
    "experiments.csv": (
        "experiment,changed,accuracy,recall@5,trained_weights,train.seconds\n"
        "bold-ant,composer.image_weight=0.5,0.871,0.99,1234567,12.5\n"
        'shy-owl,"<i>none</i>, really",0.903,0.98,1234567,\n'
    ),
    "curves/tagger.csv": (
        "step,loss,learning_rate,eval_loss,eval_exact_edit\n"
        "10,0.9,0.001,,\n20,0.5,0.0005,,\n20,,,0.61,0.77\n"
    ),
    "curves/pretrain.csv": (
        "step,learning_rate,loss,naming,score\n5,0.1,3.0,3.0,0.1\n9,0,1.5,1.5,0.7\n"
    ),
    "curves/finetune.csv": (
        "step,learning_rate,loss,composition,naming,sets,accuracy,mrr\n"
        "5,0.1,2.4,0.1,0.6,1.7,0.9,0.93\n9,0,1.2,0.05,0.3,0.8,0.94,0.96\n"
    ),
    "curves/recall_at_k.csv": "k,recall,recall_contest_like\n1,0.9167,0.9375\n5,0.9583,1.0\n",
    "curves/class_embedder.csv": (
        "step,learning_rate,loss,circle,map,recall_at_1\n"
        "300,0.001,39.2,39.2,0.7654,0.8\n600,0.0005,23.4,23.4,0.8765,0.95\n"
        "900,0,20.9,20.9,0.8543,0.94\n"
    ),
}
CLASS_FILES = (
    "class_retrieval.json",
    "class_embedder.json",
    "curves/class_embedder.csv",
    "pictures/class_retrieval.jpg",
)


def write_results(folder, rows=None):
    """Write the files that the report reads, but for the images, below `folder`."""
    metrics = Path(folder) / "metrics"
    for name in ("curves", "pictures"):
        (metrics / name).mkdir(parents=True, exist_ok=True)
    finetune = {"val_accuracy": 0.94, "val_mrr": 0.96, "best_step": 9, "trained_weights": 7550673}
    whole = {"retrieval": retrieval(), "tagger": tagger(), "finetune": finetune}
    whole["composers"] = composers()
    whole |= {"class_retrieval": class_retrieval(), "class_embedder": class_embedder()}
    for name, content in whole.items():
        (metrics / f"{name}.json").write_text(json.dumps(content))
    for name, text in TABLES.items():
        (metrics / name).write_text(text)
    Image.linear_gradient("L").resize((60, 40)).save(metrics / "pictures/class_retrieval.jpg")
    (Path(folder) / "data").mkdir(exist_ok=True)
    answers = pd.DataFrame(default_answers() if rows is None else rows)
    answers.to_parquet(Path(folder) / "data" / "answers.parquet", index=False)
    (Path(folder) / "params.yaml").write_text("seed: 1\nreport: {queries: 24, thumbnail: 48}\n")
