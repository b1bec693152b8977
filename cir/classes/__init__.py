"""Find other pictures of the same object: class-level retrieval."""
