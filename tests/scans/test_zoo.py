"""Each of the files that real archives go wrong on, by itself: read right, or refused for the right reason."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from radnet.scans.archive import UnreadableSeries, read_series
from tests.scans.archives import inventory_of


@dataclass(frozen=True)
class Read:
    """A file that is read: lowest and highest HU, and what is said of it."""

    lowest: int
    highest: int
    notes: tuple[str, ...] = ()
    lossy: bool = False


DICOM: dict[str, str | Read] = {
    "DICOMDIR": "dicomdir",
    "bad_private_sequence.dcm": Read(-1011, 1243),
    "cr_monochrome1.dcm": "modality",
    "ct_8bit_no_hu.dcm": "secondary_capture",
    "ct_small.dcm": Read(-896, 1167),
    "deflated_bilevel.dcm": "modality",
    "dx_veterinary.dcm": "modality",
    "enhanced_ct_perfusion.dcm": "not_hu",
    "enhanced_mr_j2k_too_short.dcm": "modality",
    "explicit_vr_un.dcm": Read(-1024, 1186, notes=("slice_distance_assumed",)),
    "gantry_tilt_series/1.dcm": Read(-1024, -770, notes=("slice_distance_assumed",)),
    "gantry_tilt_series/2.dcm": Read(-1024, -770, notes=("slice_distance_assumed",)),
    "gantry_tilt_series/3.dcm": Read(-1024, -770, notes=("slice_distance_assumed",)),
    "head_j2k_lossless.dcm": Read(-3024, 1468, notes=("padding",)),
    "head_j2k_lossy.dcm": Read(-3995, 1812, lossy=True, notes=("padding",)),
    "head_tilt_j2k_signed_mismatch.dcm": Read(-2000, 1896, notes=("gantry_tilt",)),
    "head_uncompressed.dcm": Read(-3024, 1468, notes=("padding",)),
    "localizers_mixed/CT2N_6293.dcm": "localizer",
    "localizers_mixed/CT2N_6924.dcm": "localizer",
    "localizers_mixed/CT5N_2062.dcm": Read(-888, 44),
    "localizers_mixed/CT5N_2392.dcm": Read(-859, 85),
    "localizers_mixed/CT5N_2693.dcm": Read(-666, 75),
    "localizers_mixed/CT5N_3023.dcm": Read(-151, 50),
    "localizers_mixed/CT5N_3353.dcm": Read(-156, 44),
    "meta_missing_transfer_syntax.dcm": "unreadable",
    "mr_big_endian.dcm": "modality",
    "mr_padded.dcm": "modality",
    "mr_small.dcm": "modality",
    "mr_t1_slice.dcm": "modality",
    "mr_truncated.dcm": "modality",
    "multiframe_fragmented_no_bot.dcm": "not_hu",
    "no_file_meta.dcm": "not_an_image",
    "no_pixel_spacing.dcm": "modality",
    "not_dicom_big_endian_stub.dcm": "modality",
    "oriented_series/0.dcm": "not_hu",
    "oriented_series/1.dcm": "not_hu",
    "oriented_series/2.dcm": "not_hu",
    "parametric_map_float.dcm": "modality",
    "pet_slice.dcm": "modality",
    "rtdose.dcm": "modality",
    "rtplan_truncated.dcm": "modality",
    "rtstruct_small.dcm": "mask_without_scan",
    "rtstruct_wrong_reference.dcm": "mask_without_scan",
    "secondary_capture_rgb_2frame.dcm": "modality",
    "secondary_capture_rgb_jpeg.dcm": "modality",
    "seg_liver_1frame.dcm": "mask_without_scan",
    "seg_liver_rle.dcm": "mask_without_scan",
    "seg_partial_overlaps.dcm": "mask_without_scan",
    "structured_report.dcm": "modality",
    "tiny_multiframe_ct.dcm": "not_hu",
    "tiny_singleframe_ct/1.dcm": "not_hu",
    "tiny_singleframe_ct/2.dcm": "not_hu",
    "tiny_singleframe_ct/3.dcm": "not_hu",
    "ts_deflated.dcm": Read(-3024, 1378),
    "ts_explicit_be.dcm": Read(-3024, 1378),
    "ts_implicit_le.dcm": Read(-3024, 1378),
    "ts_j2k_91.dcm": Read(-3027, 1377, lossy=True),
    "ts_j2k_lossless_90.dcm": Read(-3024, 1378),
    "ts_jpeg_baseline_50.dcm": Read(-3083, 1349, lossy=True),
    "ts_jpeg_extended_51.dcm": "transfer_syntax",
    "ts_jpeg_lossless_57.dcm": Read(-3024, 1378),
    "ts_jpeg_lossless_sv1_70.dcm": Read(-3024, 1378),
    "ts_jpeg_retired_53.dcm": "transfer_syntax",
    "ts_jpeg_retired_55.dcm": "transfer_syntax",
    "ts_jpegls_80.dcm": Read(-3024, 1378),
    "ts_jpegls_near_81.dcm": Read(-3025, 1377, lossy=True),
    "ts_rle.dcm": Read(-3024, 1378),
    "uneven_spacing_series/1.dcm": Read(-1024, -770, notes=("slice_distance_assumed",)),
    "uneven_spacing_series/2.dcm": Read(-1024, -770, notes=("slice_distance_assumed",)),
    "uneven_spacing_series/3.dcm": Read(-1024, -770, notes=("slice_distance_assumed",)),
}
"""What the row of each file in the zoo's README asks for.

A slice of a tilted or uneven series shows nothing of it alone, and files that are one slice in several syntaxes are
copies of each other; `test_real_files` reads them together.
"""
NIFTI: dict[str, str | Read] = {
    "ct_avm_clipped.nii.gz": "not_hu",
    "ct_pitch_uint8.nii.gz": "not_hu",
    "empty_mask.nii.gz": "looks_like_mask",
    "four_d_perfusion.nii.gz": "four_dimensional",
    "mask_other_grid.nii.gz": "looks_like_mask",
    "rgb_labels.nii.gz": "rgb",
}


def outcome(path: Path, archive: Path) -> str | Read:
    """What becomes of an archive of this file alone."""
    archive.mkdir()
    (archive / path.name).symlink_to(path)
    inventory = inventory_of(archive)
    assert inventory.files_seen == 1
    if inventory.rejects:
        return inventory.rejects[0].reason
    try:
        reading = read_series(inventory.series[0])
    except UnreadableSeries as error:
        return error.reason
    tags, voxels = reading.scan.tags, reading.scan.voxels
    assert not reading.rejects
    return Read(int(voxels.min()), int(voxels.max()), tags.notes, tags.lossy)


@pytest.mark.parametrize(("zoo", "expected", "count"), [("dicom_zoo", DICOM, 70), ("nifti_zoo", NIFTI, 6)])
def test_every_file_has_its_outcome(
    shared_data: Path, tmp_path: Path, zoo: str, expected: dict[str, str | Read], count: int
) -> None:
    root = shared_data / zoo
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "README.md"]
    found = {
        path.relative_to(root).as_posix(): outcome(path, tmp_path / str(number)) for number, path in enumerate(files)
    }
    assert len(found) == count
    assert found == expected
