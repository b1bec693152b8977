"""Choose the device for models: the GPU if there is one, else the processor."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
