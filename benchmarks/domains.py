"""Shard sets of four domains from the real data: CT volumes, NIH radiographs, MR volumes, ImageNet pictures."""

import csv
from pathlib import Path

from radnet.scans.keys import KeyedHash
from radnet.shards.build import BuildSettings, build_shards

SECRET = b"a secret for benchmarks only"
FOLDERS = {"ct": "ct_volumes", "cxr": "cxr/nih64", "mr": "mr", "natural": "natural/imagenet256"}
MODALITIES = {"ct": "CT", "cxr": "PICTURE", "mr": "MR", "natural": "PICTURE"}
SEVERAL = ";"


def build_domains(data: Path, out: Path) -> dict[str, Path]:
    """Build the four sets; repeated slices are kept, so that the search for them has something to find.

    Args:
        data: `shared/data`.
        out: Directory for archives and sets.

    Returns:
        Set by name of the domain.
    """
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as opened:
        listed = {row["path"]: row for row in csv.DictReader(opened)}
    with (data / "cxr/nih64/labels.csv").open(newline="", encoding="utf-8") as opened:
        findings = {f"cxr/nih64/{row['file']}": row for row in csv.DictReader(opened)}
    sets = {}
    for name, folder in FOLDERS.items():
        archive = out / f"{name}_archive"
        archive.mkdir(parents=True, exist_ok=True)
        if not (archive / name).exists():
            (archive / name).symlink_to(data / folder)
        lines = ["path,patient,body_region,modality,label_effusion"]
        for path, row in listed.items():
            if path.startswith(folder + "/") and row["kind"] in ("ct_volume", "mr_volume", "cxr_image"):
                # a region is told where a volume shows one only
                region = "" if SEVERAL in row["body_region"] or name == "cxr" else row["body_region"]
                effusion = {"1": "present", "0": "absent"}.get(findings.get(path, {}).get("Effusion", ""), "")
                inside = f"{name}/{path.removeprefix(folder + '/')}"
                lines.append(f"{inside},{row['patient']},{region},{MODALITIES[name]},{effusion}")
        if len(lines) > 1:
            (archive / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        sets[name] = out / name
        if not (sets[name] / "manifest.json").is_file():
            settings = BuildSettings(modalities=(MODALITIES[name],), keep_duplicates=True)
            build_shards(archive, sets[name], KeyedHash(SECRET), settings)
    return sets
