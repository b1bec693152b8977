"""Encoders turn images, names and texts into vectors.

Contract: an encoder has encode_images, encode_names, encode_texts, preprocess, fingerprint, save
and load. `Encoder` wraps any open_clip model; paired.PairedEncoder joins an image tower and a text
encoder that were trained apart.
"""

from cir.encoders.clip_encoder import Encoder

__all__ = ["Encoder"]
