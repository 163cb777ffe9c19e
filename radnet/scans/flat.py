"""Images that are no slice of a volume: radiographs and pictures become scans of one slice."""

from collections.abc import Mapping

import numpy as np

from radnet.scans import slice_labels
from radnet.scans.pictures import read_picture
from radnet.scans.radiographs import read_radiograph
from radnet.scans.scan import FLAT, Scan
from radnet.scans.sources import RefusedError, SeriesReading, SeriesSource, unforeseen_refused
from radnet.scans.volume import Voxels


def read_flat(source: SeriesSource) -> SeriesReading:
    """Read one radiograph or picture.

    Args:
        source: A series of kind "radiograph" or "picture".

    Raises:
        UnreadableSeries: It cannot be decoded.
    """
    voxels: Voxels
    notes: tuple[str, ...] = ()
    removed: Mapping[str, int] = {}
    encoded: tuple[bytes, ...] = ()
    image_format = ""
    try:
        with unforeseen_refused():
            if source.kind == "radiograph":
                voxels, notes, keywords = read_radiograph(source.files[0])
                removed = dict.fromkeys(keywords, 1)
            else:
                picture = read_picture(source.files[0])
                voxels, encoded, image_format = picture.pixels, (picture.encoded,), picture.image_format
    except RefusedError as refused:
        raise source.unreadable(refused.reason, refused.sentence) from refused
    except OSError as error:
        sentence = f"The file cannot be opened any more ({type(error).__name__})"
        raise source.unreadable("unreadable", sentence) from error
    scan = Scan(
        voxels=voxels[None],
        affine=np.eye(4),
        spacing_mm=(None, *(source.spacing_mm or (None, None))),
        modality=source.modality,
        patient_key=source.patient_key,
        series_key=source.series_key,
        tags=source.tags.with_notes(*notes, FLAT),
        slice_labels=slice_labels.labels_by_slice(1, source.labels, source.slice_labels),
        encoded=encoded,
        image_format=image_format,
        split=source.split,
    )
    return SeriesReading(scan, (), removed)
