"""Find images by words.

`data` makes images with captions and graded queries, `training` trains a captioner and fine-tunes
the encoder, and `scoring` measures the search.
"""
