"""Find other pictures of the same object: class-level retrieval.

`datasets` makes the parts train, val, query and gallery, `embedder` learns vectors of images, and
`scoring` measures the search.
"""
