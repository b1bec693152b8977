"""Keep the repository in order; no stage of the pipeline uses these tools."""
