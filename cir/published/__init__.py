"""Run the published datasets of composed image retrieval by their own protocols."""
