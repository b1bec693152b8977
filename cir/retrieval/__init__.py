"""Find images: the retriever, and the measurement of what it finds.

`Retriever.encode_queries` and `Retriever.encode_gallery` return L2-normalised vectors;
`ranking.ranking.rank` orders the gallery for each query. An image that ties with the target ranks
before it."""
