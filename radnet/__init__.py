"""Self-supervised pretraining on CT archives, and a fair comparison with ImageNet weights."""

__version__ = "0.1.0"
