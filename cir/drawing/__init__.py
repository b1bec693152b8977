"""Draw results: sheets of queries with their answers, and small plots.

The package draws what others measured and measures nothing itself."""
