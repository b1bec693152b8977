"""Score text-to-image search, and compare encoders in quality and speed."""
