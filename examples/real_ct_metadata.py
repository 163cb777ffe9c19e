"""Writes the metadata CSV of `real_ct.sh`: patient and body region of every CT in a directory with a manifest.csv.

    python examples/real_ct_metadata.py SHARED_DATA_DIR OUT.csv

Where the manifest names several regions for a scan, the first one counts.
"""

import sys
from pathlib import Path

import pandas as pd

REGIONS = {
    "head": "head_neck",
    "thorax": "thorax",
    "abdomen": "abdomen",
    "pelvis": "hip_pelvis",
    "shoulder": "extremities",
    "upper_arm": "extremities",
    "hand": "extremities",
    "thigh": "extremities",
    "knee": "extremities",
    "lower_leg": "extremities",
}


def main(data: Path, out: Path) -> None:
    """One row a NIfTI volume and one a DICOM directory; all of them are CT in Hounsfield units."""
    manifest = pd.read_csv(data / "manifest.csv", dtype=str)
    scans = manifest[manifest["kind"].isin(["ct_volume", "dicom_ct"])].copy()
    dicom = scans["kind"] == "dicom_ct"
    scans.loc[dicom, "path"] = scans.loc[dicom, "path"].str.rpartition("/")[0]
    scans = scans.drop_duplicates("path")
    first_region = scans["body_region"].str.split(";").str[0]
    rows = pd.DataFrame(
        {
            "path": scans["path"],
            "patient": scans["patient"],
            "body_region": first_region.map(REGIONS),
            "modality": "CT",
        }
    )
    rows.to_csv(out, index=False)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: real_ct_metadata.py SHARED_DATA_DIR OUT.csv")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
