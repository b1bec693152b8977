"""Miniature copies of the published datasets, drawn into a folder in the real layouts.

Each function returns what it wrote, so that a test can break it and write it again.
"""

import json

import numpy as np
from PIL import Image


def draw(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade % 256, 80, 120)).save(path)


def noisy(root, size=16):
    """Noise in the place of every image: plain ones are all alike to a tower's batch norm."""
    rng = np.random.default_rng(0)
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".jpg", ".jpeg", ".png")):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(path)
    return root


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


STATES = {
    "red car": 3,
    "old car": 2,
    "rusty car": 1,
    "ripe pear": 2,
    "cut pear": 2,
    "ripe tomato": 2,
    "sliced tomato": 1,
    "old castle": 1,
    "huge castle": 3,
}


def mit_states(root):
    """Two nouns to train with, two to test with, and folders that are to be skipped."""
    for state, count in STATES.items():
        for number in range(count):
            draw(root / "images" / state / f"{number}.jpg", number)
    draw(root / "images" / "adj tomato" / "0.jpg")
    draw(root / "images" / "README" / "0.jpg")
    (root / "images" / "red car" / "Thumbs.db").write_bytes(b"")
    return root


CAPTIONS = {
    "train": {
        "a/1.jpeg": "red cotton dress",
        "a/2.jpeg": "blue cotton dress",
        "a/3.jpeg": "blue cotton dress",
        "b/1.jpeg": "blue silk dress",
        "b/2.jpeg": "long a-line v.neck gown & belt",
    },
    "test": {
        "c/1.jpeg": "red skirt",
        "c/2.jpeg": "green skirt",
        "c/3.jpeg": "green skirt",
        "c/4.jpeg": "red skirt",
    },
}


def fashion200k(root):
    for split, captions in CAPTIONS.items():
        rows = []
        for number, (name, caption) in enumerate(captions.items()):
            draw(root / "women" / name, number)
            rows.append(f"women/{name}\t0.9{number}\t{caption} \n")
        half = len(rows) // 2
        (root / "labels").mkdir(exist_ok=True)
        for category, part in (("dress", rows[:half]), ("skirt", rows[half:])):
            path = root / "labels" / f"{category}_{split}_detect_all.txt"
            path.write_text("".join(part), encoding="utf-8")
    lines = "women/c/1.jpeg women/c/2.jpeg\nwomen/c/3.jpeg women/c/4.jpeg\n"
    (root / "test_queries.txt").write_text(lines, encoding="utf-8")
    return root


def fashioniq(root):
    """Every category and split has six images (every third a PNG) and three queries."""
    for category in ("dress", "shirt", "toptee"):
        for split in ("train", "val", "test"):
            names = [f"{category[0]}{split}{number}" for number in range(6)]
            for number, name in enumerate(names):
                draw(root / "images" / f"{name}{'.jpg' if number % 3 else '.png'}", number)
            entries = []
            for number in range(3):
                captions = [f"Is longer {number}.", "has no sleeves? "]
                entry = {"candidate": names[number], "captions": captions}
                target = {} if split == "test" else {"target": names[(number + 1) % 4]}
                entries.append({**target, **entry})
            dump(root / "captions" / f"cap.{category}.{split}.json", entries)
            dump(root / "image_splits" / f"split.{category}.{split}.json", names)
    return root


def cirr(root, place=""):
    """Two sets of six in each split; the photos beside cirr/ or in `place`."""
    for split, folder in (("train", "train/7"), ("val", "dev"), ("test1", "test1")):
        names = [f"{folder.split('/')[0]}-{number}-img{number % 2}" for number in range(12)]
        entries = []
        for number in range(4):
            members = names[:6] if number < 2 else names[6:]
            image_set = {"id": number // 2, "members": members, "reference_rank": number % 6}
            entry = {
                "pairid": 100 + number,
                "reference": members[number],
                "caption": f"has {number} dogs",
                "img_set": image_set,
            }
            if split != "test1":
                entry["target_hard"] = members[5]
                entry["target_soft"] = {members[5]: 1.0}
            entries.append(entry)
        dump(root / "cirr" / "captions" / f"cap.rc2.{split}.json", entries)
        paths = {name: f"./{folder}/{name}.png" for name in names}
        dump(root / "cirr" / "image_splits" / f"split.rc2.{split}.json", paths)
        for number, path in enumerate(paths.values()):
            draw(root / place / path, number)
    return root


def cirr_with_more_test_photos(root):
    """The same with 72 photos in test1, as its server wants 50 of them for every query."""
    path = cirr(root) / "cirr" / "image_splits" / "split.rc2.test1.json"
    more = {f"test1-{number}-img2": f"./test1/test1-{number}-img2.png" for number in range(60)}
    for number, photo in enumerate(more.values()):
        draw(root / photo, number)
    dump(path, {**json.loads(path.read_text()), **more})
    return root


def circo(root, images=60):
    """Three queries with one to three answers, and as many without."""
    coco = root / "COCO2017_unlabeled"
    entries = []
    for number in range(images):
        entry = {"id": 1000 + number, "file_name": f"{1000 + number:012d}.jpg"}
        draw(coco / "unlabeled2017" / entry["file_name"], number)
        entries.append(entry)
    dump(coco / "annotations" / "image_info_unlabeled2017.json", {"images": entries})
    answers = [[1010], [1020, 1021], [1030, 1031, 1032]]
    aspects = [["negation"], ["negation", "viewpoint"], ["viewpoint"]]
    labelled = []
    for number in range(3):
        query = {
            "id": number,
            "reference_img_id": 1000 + number,
            "relative_caption": f"shows {number} people",
            "shared_concept": "people",
        }
        labels = {
            "target_img_id": answers[number][0],
            "gt_img_ids": answers[number],
            "semantic_aspects": aspects[number],
        }
        labelled.append({**query, **labels})
    dump(root / "annotations" / "val.json", labelled)
    kept = ("id", "reference_img_id", "relative_caption", "shared_concept")
    dump(root / "annotations" / "test.json", [{k: e[k] for k in kept} for e in labelled])
    return root


WRITERS = {
    "mit_states": mit_states,
    "fashion200k": fashion200k,
    "fashioniq": fashioniq,
    "cirr": cirr,
    "circo": circo,
}
