"""Build and train the class embedder: an image tower, a pooling of its tokens, and a head."""
