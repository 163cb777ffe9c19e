"""From a scan to the rows and frames of its slices."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.scans.scan import Scan
from radnet.shards.codec import encode
from radnet.shards.splits import split_of
from radnet.shards.tables import LABEL_PREFIX
from radnet.shards.writer import Sample


def samples_of(scan: Scan, fractions: tuple[float, float, float]) -> Iterator[Sample]:
    """One sample a slice, from inferior to superior.

    Args:
        scan: The scan; it holds no identifier (see `radnet.scans`).
        fractions: Shares of train, val and test.
    """
    series = _series_row(scan, fractions)
    z_mm = scan.z_mm()
    # behind a gap the affine, which knows one distance only, would tell a wrong position
    evenly_spaced = not {"gap", "uneven_spacing"} & set(scan.tags.notes)
    for z, hu in enumerate(scan.voxels):
        labels = {LABEL_PREFIX + name: values[z] for name, values in sorted(scan.slice_labels.items())}
        row = {
            **series,
            **labels,
            "slice": z,
            "z_mm": round(float(z_mm[z]), 4) if evenly_spaced else None,
            "content_hash": content_hash_of(hu),
        }
        mask = None if scan.mask is None else encode(scan.mask[z])
        yield Sample(image=encode(hu), mask=mask, row=row)


def content_hash_of(hu: NDArray[np.int16]) -> str:
    """Hash of a slice's shape and values, 32 hex digits: equal for equal pixels, whatever codec stores them."""
    values = np.ascontiguousarray(hu, dtype="<i2")
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()[:32]


def _series_row(scan: Scan, fractions: tuple[float, float, float]) -> dict[str, Any]:
    tags = scan.tags
    return {
        "series_key": scan.series_key,
        "patient_key": scan.patient_key,
        "split": split_of(scan.patient_key, fractions),
        "modality": scan.modality,
        "body_region": tags.body_region,
        "region_source": tags.region_source,
        "slices": len(scan.voxels),
        "rows": scan.voxels.shape[1],
        "columns": scan.voxels.shape[2],
        "image_format": "b2nd",
        "spacing_z_mm": round(scan.spacing_mm[0], 6),
        "spacing_y_mm": round(scan.spacing_mm[1], 6),
        "spacing_x_mm": round(scan.spacing_mm[2], 6),
        "slice_thickness_mm": tags.slice_thickness_mm,
        "kernel": tags.kernel,
        "kvp": tags.kvp,
        "manufacturer": tags.manufacturer,
        "contrast": tags.contrast,
        "source": tags.source,
        "lossy": tags.lossy,
        "synthetic": tags.synthetic,
        "notes": ";".join(tags.notes),
    }
