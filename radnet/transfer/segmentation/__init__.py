"""Segmentation: masks of volumes, networks on top of timm backbones, and scores per volume."""
