"""Images found by words: queries with graded answers, captions, training on them, measures."""
