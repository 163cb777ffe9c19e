"""BraTS: a directory a case with four sequences and a segmentation; the sequences of a case are one image's channels.

Menze et al. 2015, "The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS)", IEEE TMI 34. Names of 2017 to
2021 end in _t1, _t1ce, _t2, _flair, _seg; those since 2023 in -t1n, -t1c, -t2w, -t2f, -seg, and they end the case in
the number of the patient's study (BraTS-GLI-00005-001).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from radnet.errors import UsageError
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.volumes import VolumeEntry, nifti_files, stem, volume_inventory
from radnet.transfer.segmentation.volumes import SEQUENCE, STUDY

SEQUENCES: Mapping[str, str] = MappingProxyType(
    {
        **{"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair"},
        **{"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"},
    }
)
"""Ending of a name -> sequence."""
FILE = re.compile(r"(?P<case>.+)[_-](?P<part>t1ce|t1n|t1c|t1|t2w|t2f|t2|flair|seg)", re.IGNORECASE)
CASE_SINCE_2023 = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d+)-(?P<study>\d+)", re.IGNORECASE)


class Brats(Converter):
    """The converter."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter`; cases without a segmentation (the validation data) are rejects.

        Raises:
            UsageError: There is no case with its sequences and segmentation, or a file occurs twice.
        """
        files = nifti_files(request.source)
        cases = _cases(files)
        entries: list[VolumeEntry] = []
        incomplete = 0
        for case, parts in sorted(cases.items()):
            mask = parts.pop("seg", None)
            if mask is None:
                continue
            incomplete += len(parts) < len(set(SEQUENCES.values()))
            match = CASE_SINCE_2023.fullmatch(case)
            patient, study = (match["patient"], match["study"]) if match else (case, "")
            for sequence, path in sorted(parts.items()):
                about = {SEQUENCE: sequence, STUDY: study}
                labels = tuple((name.removeprefix("label_"), value) for name, value in about.items() if value)
                entries.append(VolumeEntry(path, mask, patient, "MR", "head_neck", labels))
        if not entries:
            raise UsageError(
                "This is no download of BraTS: no case with sequences and a segmentation",
                seen=[path.name for path in files[:5]],
                file=request.source,
                fix="Give the directory that holds the directories of the training cases",
            )
        notes = (f"{incomplete} cases lack a sequence; they take no part in the task",) if incomplete else ()
        return Conversion(volume_inventory(entries, request), ("MR",), kind="segment", notes=notes)


def _cases(files: list[Path]) -> dict[str, dict[str, Path]]:
    """Case -> sequence or "seg" -> file."""
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files:
        match = FILE.fullmatch(stem(path))
        if match is None:
            continue
        part = match["part"].lower()
        part = SEQUENCES.get(part, part)
        if part in cases[match["case"]]:
            raise UsageError("A case has one part twice", seen=path.name, file=path.parent, fix="Remove one of them")
        cases[match["case"]][part] = path
    return cases
