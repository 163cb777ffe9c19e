"""From headers and metadata to `SeriesSource`: keys, tags and labels. Identifiers end here."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from radnet.errors import UsageError
from radnet.scans.dicom_groups import DicomGroup, patient_of
from radnet.scans.keys import KeyedHash
from radnet.scans.metadata import MetadataRow, MetadataTable
from radnet.scans.nifti import NiftiHeader
from radnet.scans.pictures import PictureHeader
from radnet.scans.radiographs import RadiographHeader
from radnet.scans.regions import METADATA_SOURCE, RegionMatch, body_region_of
from radnet.scans.scan import UNKNOWN_REGION, ScanTags
from radnet.scans.sources import Reject, SeriesSource
from radnet.scans.walk import ArchiveFile

SliceLabels = Mapping[Path, Mapping[int, tuple[tuple[str, str], ...]]]


@dataclass(frozen=True)
class Describer:
    """Describes the series of one archive.

    Attributes:
        root: The archive.
        hasher: Makes the keys.
        table: The metadata.
        labels: Real path of a series -> labels of its slices.
    """

    root: Path
    hasher: KeyedHash
    table: MetadataTable
    labels: SliceLabels

    def reject(self, path: Path, reason: str, sentence: str) -> Reject:
        """A reject for one file."""
        return Reject(self._relative(path), self._file_key(path), reason, sentence)

    def nifti_source(
        self, file: ArchiveFile, header: NiftiHeader, row: MetadataRow | None, *, row_names_it: bool
    ) -> SeriesSource:
        """The series of one NIfTI file.

        Args:
            file: The file.
            header: Its header.
            row: The row of the metadata that covers it.
            row_names_it: Whether the row is of this very file. The row of a directory of DICOM tells the patient of a
                NIfTI file lying there, not that it holds HU (it may be a mask of the series), nor its labels.
        """
        own = row if row_names_it else None
        relative = self._relative(file.path)
        named = row is not None and row.patient is not None
        patient = row.patient if row and row.patient else f"directory\0{Path(relative).parent.as_posix()}"
        tags = _tags(ScanTags(source="nifti", notes=() if named else ("patient_from_directory",)), row)
        return SeriesSource(
            kind="nifti",
            root=self.root,
            files=(file.path,),
            file_keys=(self._file_key(file.path),),
            name=relative,
            patient_key=self.hasher.key("patient", patient),
            series_key=self.hasher.key("series", relative),
            slices=header.slices,
            modality=(row.modality if row is not None else None) or "CT",
            tags=tags,
            declared_hu=own is not None and own.modality == "CT",
            mask=own.mask if own else None,
            labels=own.labels if own else (),
            slice_labels=self._slice_labels(file.real_path, header.slices),
            split=own.split if own else None,
        )

    def dicom_source(self, group: DicomGroup, found_mask: Path | None = None) -> SeriesSource:
        """The series of a group of DICOM slices.

        Args:
            group: The slices.
            found_mask: A mask that refers to them; where the metadata name one, there is none.
        """
        first = group.entries[0]
        header, row = first.header, first.row
        frames: dict[Path, list[int]] = {}
        for entry in group.entries:
            frames.setdefault(entry.path, []).extend([] if entry.header.frame is None else [entry.header.frame])
        files = tuple(frames)
        slices = group.slices()
        match = body_region_of(dict(header.texts))
        notes = ["no_patient_id"] if not (header.patient_id or (row and row.patient)) else []
        if not header.hu_declared:
            notes.append("unit_unspecified")
        tags = ScanTags(
            body_region=match.region,
            region_source=match.source,
            manufacturer=header.manufacturer,
            kernel=header.kernel,
            kvp=header.kvp,
            slice_thickness_mm=header.slice_thickness_mm,
            contrast=header.contrast,
            source="dicom",
            lossy=header.lossy,
            synthetic=header.synthetic,
            notes=tuple(sorted(notes)),
        )
        return SeriesSource(
            kind="dicom",
            root=self.root,
            files=files,
            file_keys=tuple(self._file_key(path) for path in files),
            frames=tuple(map(tuple, frames.values())) if any(frames.values()) else (),
            name=self._name(files, any(frames.values())),
            patient_key=self.hasher.key("patient", patient_of(group)),
            series_key=self.hasher.key("series", group.identity),
            slices=slices,
            modality=header.modality,
            tags=_tags(tags, row),
            declared_hu=all(entry.header.hu_declared for entry in group.entries)
            or (row is not None and row.modality == "CT"),
            mask=found_mask or (row.mask if row else None),
            found_mask_key=self._file_key(found_mask) if found_mask else "",
            labels=row.labels if row else (),
            slice_labels=self._slice_labels(self.labelled_path(group), slices),
            split=row.split if row else None,
        )

    def flat_source(
        self, file: ArchiveFile, header: RadiographHeader | PictureHeader, row: MetadataRow | None
    ) -> SeriesSource:
        """The series of one image that is no slice of a volume: a radiograph or a picture.

        A picture names no patient: without a metadata row that does, it stands for itself.
        """
        relative = self._relative(file.path)
        patient = (row.patient if row else None) or ""
        if isinstance(header, RadiographHeader):
            kind: Literal["radiograph", "picture"] = "radiograph"
            patient = patient or header.patient_id or f"study\0{header.study_uid or relative}"
            match = body_region_of(dict(header.texts))
            notes = {*header.notes, *(() if header.patient_id or (row and row.patient) else ("no_patient_id",))}
            tags = ScanTags(
                body_region=match.region,
                region_source=match.source,
                manufacturer=header.manufacturer,
                kvp=header.kvp,
                source="dicom",
                lossy=header.lossy,
                notes=tuple(sorted(notes)),
            )
            modality, spacing_mm = header.modality, header.spacing_mm
        else:
            kind, modality, spacing_mm = "picture", "PICTURE", None
            patient = patient or f"picture\0{relative}"
            tags = ScanTags(source="picture", lossy=header.lossy)
        return SeriesSource(
            kind=kind,
            root=self.root,
            files=(file.path,),
            file_keys=(self._file_key(file.path),),
            name=relative,
            patient_key=self.hasher.key("patient", patient),
            series_key=self.hasher.key("series", relative),
            slices=1,
            modality=modality,
            tags=_tags(tags, row),
            spacing_mm=spacing_mm,
            labels=row.labels if row else (),
            slice_labels=self._slice_labels(file.real_path, 1),
            split=row.split if row else None,
        )

    def require_all_used(self, files: Sequence[ArchiveFile], labelled: Iterable[Path | None]) -> None:
        """Refuse metadata rows to which no file of the archive belongs, and slice labels without one clear series.

        Args:
            files: All files of the archive.
            labelled: For each series found, the path in slices.csv that covers it.

        Raises:
            UsageError: There is such a row.
        """
        counts = Counter(labelled)
        covered = {row_path for file in files if (found := self.table.row_of(file.real_path)) for row_path in found[:1]}
        for path, row in self.table.rows.items():
            if path not in covered:
                raise UsageError(
                    f"Line {row.line}: no file of the archive belongs to this row",
                    seen=row.path,
                    file=self.table.file,
                    fix="Correct the path or remove the row",
                )

        for path, rows in self.labels.items():
            series = counts[path]
            if series > 1 or (series == 0 and path.is_dir()):
                raise UsageError(
                    f"{len(rows)} rows of slices.csv name a path that holds {series or 'no'} series; one is needed",
                    seen=self._relative(path),
                    fix="Name the NIfTI file, or the directory of one DICOM series",
                )

    def labelled_path(self, group: DicomGroup) -> Path | None:
        """The path in slices.csv that covers a group of DICOM files."""
        real = group.entries[0].path.resolve()
        return next((place for place in (real, *real.parents) if place in self.labels), None)

    def _slice_labels(self, path: Path | None, slices: int) -> tuple[tuple[int, tuple[tuple[str, str], ...]], ...]:
        if path is None or path not in self.labels:
            return ()
        found = self.labels[path]
        if max(found) >= slices:
            raise UsageError(
                f"slices.csv names slice {max(found)} of a series with {slices} slices",
                seen=self._relative(path),
                fix="Slices are counted from 0 at the most inferior one",
            )
        return tuple(sorted(found.items()))

    def _name(self, files: Sequence[Path], has_frames: bool) -> str:
        place = (
            files[0] if has_frames and len(files) == 1 else Path(os.path.commonpath([path.parent for path in files]))
        )
        return self._relative(place)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def _file_key(self, path: Path) -> str:
        return self.hasher.key("file", self._relative(path))


def _tags(tags: ScanTags, row: MetadataRow | None) -> ScanTags:
    """Tags of the header with those of the metadata put over them."""
    if row is None:
        return tags
    region = RegionMatch(tags.body_region, tags.region_source)
    if row.body_region is not None:
        known = row.body_region != UNKNOWN_REGION
        region = RegionMatch(row.body_region, METADATA_SOURCE if known else "")
    return ScanTags(
        body_region=region.region,
        region_source=region.source,
        manufacturer=row.manufacturer or tags.manufacturer,
        kernel=row.kernel or tags.kernel,
        kvp=row.kvp or tags.kvp,
        slice_thickness_mm=row.slice_thickness_mm or tags.slice_thickness_mm,
        contrast=tags.contrast if row.contrast is None else row.contrast,
        source=tags.source,
        lossy=tags.lossy,
        synthetic=tags.synthetic if row.synthetic is None else row.synthetic,
        notes=tags.notes,
    )
