"""Volumes with masks: what the converters of segmentation tasks share, and the one for archives of one's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from radnet.errors import UsageError
from radnet.scans.archive import Inventory, Reject, take_inventory
from radnet.scans.metadata import MetadataRow, MetadataTable
from radnet.transfer.prepare.contract import Conversion, Converter, Request

NO_MASK, NO_MASK_SENTENCE = "no_mask", "A scan without a mask"
NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class VolumeEntry:
    """One NIfTI volume with its mask.

    Attributes:
        image: The volume.
        mask: Its mask, on the same grid.
        patient: Identifies a patient of the data set; leaves as a keyed hash.
        modality: "CT" or "MR".
        body_region: One of `radnet.scans.scan.REGIONS`.
        labels: (name, value) pairs.
    """

    image: Path
    mask: Path
    patient: str
    modality: str
    body_region: str
    labels: tuple[tuple[str, str], ...] = ()


def volume_inventory(entries: Iterable[VolumeEntry], request: Request) -> Inventory:
    """The inventory of listed volumes; every other file of the source is a reject.

    Args:
        entries: The volumes, all of one modality.
        request: The call.
    """
    rows = {
        entry.image.resolve(): MetadataRow(
            line=number,
            path=entry.image.name,
            patient=entry.patient,
            body_region=entry.body_region,
            modality=entry.modality,
            mask=entry.mask.resolve(),
            labels=tuple(sorted(entry.labels)),
        )
        for number, entry in enumerate(entries, start=1)
    }
    modalities = tuple(sorted({row.modality for row in rows.values() if row.modality}))
    table = MetadataTable(None, rows, frozenset(row.mask for row in rows.values() if row.mask))
    inventory = take_inventory(
        request.source.absolute(), request.hasher, metadata=table, jobs=request.jobs, modalities=modalities
    )
    rejects = tuple(_unmasked(reject, request.source.absolute(), rows) for reject in inventory.rejects)
    return with_masks_only(replace(inventory, rejects=rejects))


def _unmasked(reject: Reject, root: Path, rows: Mapping[Path, MetadataRow]) -> Reject:
    """The reject as it is, but for MR volumes that no entry names: they have no modality because they have no mask."""
    path = root / reject.path
    if reject.reason == "modality" and path.name.lower().endswith(NIFTI) and path.resolve() not in rows:
        return replace(reject, reason=NO_MASK, sentence=NO_MASK_SENTENCE)
    return reject


def with_masks_only(inventory: Inventory) -> Inventory:
    """An inventory whose series without a mask are rejects."""
    refused = list(inventory.rejects)
    for source in inventory.series:
        if source.mask is None:
            refused += source.unreadable(NO_MASK, NO_MASK_SENTENCE).rejects
    kept = tuple(source for source in inventory.series if source.mask is not None)
    return replace(inventory, series=kept, rejects=tuple(sorted(refused, key=lambda reject: reject.path)))


def nifti_files(source: Path) -> list[Path]:
    """Every NIfTI file below a directory, sorted."""
    return sorted(path for path in source.rglob("*") if path.name.lower().endswith(NIFTI) and path.is_file())


def stem(path: Path) -> str:
    """Name of a NIfTI file without its ending."""
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else name[: -len(".nii")]


class Volumes(Converter):
    """An archive as for `radnet shards build`: masks in `metadata.csv`, or DICOM masks that name their series."""

    takes: ClassVar[frozenset[str]] = frozenset()

    def convert(self, request: Request) -> Conversion:
        """See `Converter`.

        Raises:
            UsageError: No scan of the archive has a mask.
        """
        inventory = take_inventory(
            request.source.absolute(), request.hasher, jobs=request.jobs, modalities=("CT", "MR")
        )
        found = with_masks_only(inventory)
        if not found.series:
            raise UsageError(
                "No scan of this archive has a mask",
                seen=f"{len(inventory.series)} series",
                file=request.source,
                fix="Name masks in the column mask of metadata.csv, or put the DICOM SEG or RTSTRUCT beside the scans",
            )
        modalities = tuple(sorted({source.modality for source in found.series}))
        return Conversion(found, modalities, kind="segment")
