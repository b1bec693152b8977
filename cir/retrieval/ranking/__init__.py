"""Store vectors, rank galleries, and compute every metric of a ranking."""
