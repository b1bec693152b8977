"""Turn images into vectors that are near for images of one class.

ClassEmbedder: preprocess(image) -> uint8 [3, H, W], encode_images(pixels) -> [B, D], fingerprint,
save, load. A timm tower, a pooling of its tokens, and a linear head.
"""
