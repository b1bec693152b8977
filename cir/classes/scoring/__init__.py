"""Score class-level retrieval, draw its sheet, and write its ranking file."""
