"""Find the edited image in a gallery, and measure how often it comes first.

`Retriever.encode_queries(images, sentences)` and `Retriever.encode_gallery(images)` return float32
vectors [N, D] of length one. `ranking.ranking.rank(queries, gallery, ...)` ranks a gallery for each
query; ties count against us, so an image that scores as high as the target goes before it.
"""
