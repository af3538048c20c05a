"""`torch.randperm` without torch, under the name that loaders know; see `lra_data/protocols/torch_shuffle.py`."""

from lra_data.protocols.torch_shuffle import random_split, torch_randperm

__all__ = ["random_split", "torch_randperm"]
