"""Self-supervised pretraining on CT archives, and a fair comparison with ImageNet weights."""

from radnet.timm_names import offer_zoo

__version__ = "0.1.0"

offer_zoo()
