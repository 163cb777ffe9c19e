"""From a scan to the rows and frames of its slices."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from radnet.scans import pictures
from radnet.scans.scan import FLAT, Scan
from radnet.shards.codec import encode
from radnet.shards.resize import Pixels, shrink_image, shrink_mask, size_within
from radnet.shards.sample import Sample
from radnet.shards.settings import BuildSettings
from radnet.shards.splits import split_of
from radnet.shards.tables import LABEL_PREFIX

AIR_ONLY, DUPLICATE, NOT_EVERY = "air_only", "duplicate_slice", "every"
"""Why a slice that was read is not stored. The last is what the user asked for and no reject."""
NO_TISSUE_HU = -300
"""A slice without any pixel above holds air, at most a part of the couch; fat begins at about -120.

A slice of one value all over holds nothing either."""


def samples_of(scan: Scan, settings: BuildSettings) -> Iterator[Sample | str]:
    """One sample a slice, from inferior to superior, or the reason why the slice is left out.

    A scan with a mask is a volume that is scored as a whole: none of its slices are left out as air.

    Args:
        scan: The scan; it holds no identifier (see `radnet.scans`).
        settings: What shapes the set.
    """
    rows, columns = size_within(scan.voxels.shape[1], scan.voxels.shape[2], settings.size)
    series = _series_row(scan, settings, rows, columns)
    z_mm = scan.z_mm()
    # behind a gap the affine, which knows one distance only, would tell a wrong position
    evenly_spaced = not {"gap", "uneven_spacing", FLAT} & set(scan.tags.notes)
    drop_air = scan.modality == "CT" and scan.mask is None and not settings.keep_air
    for z in range(len(scan.voxels)):
        if z % settings.every:
            yield NOT_EVERY
            continue
        original = np.ascontiguousarray(scan.voxels[z])
        if drop_air and (original.max() <= NO_TISSUE_HU or original.min() == original.max()):
            yield AIR_ONLY
            continue
        pixels = shrink_image(original, rows, columns)
        image, image_format = _image_of(scan, z, pixels)
        labels = {LABEL_PREFIX + name: values[z] for name, values in sorted(scan.slice_labels.items())}
        row = {
            **series,
            **labels,
            "slice": z,
            "z_mm": round(float(z_mm[z]), 4) if evenly_spaced else None,
            "image_format": image_format,
            "content_hash": content_hash_of(pixels),
        }
        mask = None if scan.mask is None else encode(shrink_mask(np.ascontiguousarray(scan.mask[z]), rows, columns))
        yield Sample(image=image, mask=mask, row=row)


def _image_of(scan: Scan, z: int, pixels: Pixels) -> tuple[bytes, str]:
    """The bytes to store for a slice, and their format: a picture that kept its size keeps its own."""
    if not scan.image_format or pixels.dtype == np.int16:
        return encode(pixels), "b2nd"
    if pixels.shape[:2] == scan.voxels.shape[1:3]:
        return scan.encoded[z], scan.image_format
    return pictures.encode(pixels, scan.image_format), scan.image_format


def content_hash_of(pixels: Pixels) -> str:
    """Hash of a slice's shape and values, 32 hex digits: equal for equal pixels, whatever codec stores them.

    Args:
        pixels: int16, uint16 or uint8. Of the dtypes only int16 goes without saying.
    """
    said = repr(pixels.shape) if pixels.dtype == np.int16 else f"{pixels.dtype.name}{pixels.shape!r}"
    values = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    digest = hashlib.sha256(said.encode())
    digest.update(values.data)  # the array itself: a slice is half a megabyte, and copies of it take as long
    return digest.hexdigest()[:32]


def _series_row(scan: Scan, settings: BuildSettings, rows: int, columns: int) -> dict[str, Any]:
    tags = scan.tags
    return {
        "series_key": scan.series_key,
        "patient_key": scan.patient_key,
        "split": scan.split or split_of(scan.patient_key, settings.split_fractions),
        "modality": scan.modality,
        "body_region": tags.body_region,
        "region_source": tags.region_source,
        "slices": len(scan.voxels),
        "rows": rows,
        "columns": columns,
        "spacing_z_mm": _mm(scan.spacing_mm[0], 1.0),
        "spacing_y_mm": _mm(scan.spacing_mm[1], scan.voxels.shape[1] / rows),
        "spacing_x_mm": _mm(scan.spacing_mm[2], scan.voxels.shape[2] / columns),
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


def _mm(spacing_mm: float | None, factor: float) -> float | None:
    return None if spacing_mm is None else round(spacing_mm * factor, 6)
