"""Read or make the images and triplets that the retriever is trained and tested on.

`contest`, `coco` and `drawn` are alternatives: `load(params, sentences, seed)` returns
{"train", "val", "test": Split}, where `params` is the source's section of `params` and `sentences`
gives the templates of each split. `sources` opens the images that the search app searches.
"""
