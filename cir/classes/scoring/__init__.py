"""Score class-level retrieval, draw its sheet, and write its ranking file.

measure(vectors, queries, gallery, protocol, params, k) -> one Measured for each way to rank,
result(measured, ...) -> Result.
"""
