"""Make images with captions and graded text queries: load(params, ...) -> {part: TextSplit}.

`drawn` draws scenes, and asks the `requests` that it puts into words by `wording`.
`captioned_folder` reads a user's images. `queries` holds the form of a split on disk,
`captions_file` that of data/captions.csv.
"""
