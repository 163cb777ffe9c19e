"""What a hospital would have written into the headers of a series: a mix of German and English."""

from dataclasses import dataclass

import numpy as np

from radnet.scans.phantom.series import PhantomSeries

SYNTHETIC_NOTE = "SYNTHETIC radnet phantom, shows no person"

# Per region: BodyPartExamined, StudyDescription, SeriesDescription, ProtocolName. Empty where a site leaves it so.
_WORDS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "head_neck": (
        ("HEAD", "CT Schädel nativ", "Schaedel 5.0", "01_Schaedel"),
        ("HEADNECK", "CT Head and Neck", "HN axial", "HeadNeck"),
        ("", "CT Hals mit KM", "Hals 3.0", ""),
        ("NECK", "", "Neck soft tissue", "Neck_Routine"),
        ("SKULL", "CT NCCT", "axial", ""),
    ),
    "thorax": (
        ("CHEST", "CT Thorax", "Thorax 5.0 Weichteil", "ThoraxRoutine"),
        ("THORAX", "CT Thorax mit KM i.v.", "axial", ""),
        ("", "CT Chest w contrast", "CHEST 5mm", ""),
        ("CHEST", "", "Lung", "Chest_LowDose"),
        ("", "", "Thx ax 5.0", "Thorax"),
    ),
    "abdomen": (
        ("ABDOMEN", "CT Abdomen", "Abdomen ax 5.0", "AbdomenRoutine"),
        ("", "CT Oberbauch", "Oberbauch 5.0", ""),
        ("LIVER", "CT Leber mehrphasig", "Leber ax", "Leber_3Phasen"),
        ("ABDOMEN", "CT ABDOMEN W CONTRAST", "axial 5mm", ""),
        ("", "", "Abd 5.0", "Abdomen_Standard"),
    ),
    "hip_pelvis": (
        ("PELVIS", "CT Becken", "Becken ax", "Becken"),
        ("HIP", "CT Hip bilateral", "HIP 3mm", "Hip"),
        ("", "CT Hüfte beidseits", "Huefte", ""),
        ("PELVIS", "", "Pelvis axial", "Pelvis_Routine"),
        ("", "", "Becken 3.0", ""),
    ),
    "spine": (
        ("SPINE", "CT Wirbelsäule", "{part_de} Knochen", "{part_de}"),
        ("{part_dicom}", "CT {part_en} spine", "{part_en} bone", "Spine"),
        ("", "CT {part_de}", "{part_de} ax 3.0", ""),
        ("{part_dicom}", "", "ax bone", "{part_de}_nativ"),
    ),
    "extremities": (
        ("EXTREMITY", "CT {part_de}", "{part_de} Knochen", "Extremitaet"),
        ("{part_dicom}", "CT {part_en}", "{part_en} bone", ""),
        ("", "CT {part_de} nativ", "axial", ""),
        ("{part_dicom}", "", "{part_de} 3.0", "{part_en}"),
    ),
}

_PARTS = {
    "cervical": ("HWS", "cervical", "CSPINE"),
    "thoracic": ("BWS", "thoracic", "TSPINE"),
    "lumbar": ("LWS", "lumbar", "LSPINE"),
    "thigh": ("Oberschenkel", "thigh", "THIGH"),
    "knee": ("Knie", "knee", "KNEE"),
    "lower_leg": ("Unterschenkel", "lower leg", "LEG"),
    "arm": ("Oberarm", "upper arm", "HUMERUS"),
}


@dataclass(frozen=True)
class Words:
    """Header texts of a series; any of the first four may be empty, the comment never."""

    body_part: str
    study: str
    series: str
    protocol: str
    comment: str


def words_of(series: PhantomSeries, stream: np.random.Generator) -> Words:
    """Choose one of the ways in which sites describe such a series; the series text always says synthetic."""
    choices = _WORDS[series.region]
    german, english, dicom = _PARTS.get(str(series.tags["part"]), ("", "", ""))
    chosen = choices[int(stream.integers(len(choices)))]
    texts = [text.format(part_de=german, part_en=english, part_dicom=dicom) for text in chosen]
    return Words(texts[0], texts[1], f"{texts[2]} [synthetic]", texts[3], SYNTHETIC_NOTE)
