"""Helpers that several test files share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAGGING_DATA = (  # what the stages of the tagger read from data/
    *("object_names.txt", "edit_words.json", "edit_clauses.json"),
    *("held_out_families.json", "people_sentences.json"),
)
