"""Image-text encoders: images and names become vectors of one space."""

from cir.encoders.clip_encoder import Encoder

__all__ = ["Encoder"]
