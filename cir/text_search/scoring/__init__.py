"""Score text-to-image search, and compare encoders in relevance, speed and size.

measure(what, scores, queries, ids, protocol) -> Measured, result(measured, ...) -> Result.
"""
