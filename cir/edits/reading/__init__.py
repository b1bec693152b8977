"""Read sentences: the templates, the word splitter, the tagger and its metrics.

`Tagger.load(folder).tag(texts)` returns an `Edit` (objects to add, objects to remove) for each
text. The package knows nothing of images."""
