"""`examples/real_ct.sh` on the real volumes and series, at a small size."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from radnet.records import read_records
from radnet.shards import ShardSet

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_real_ct_goes_the_whole_path(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {
        **os.environ,
        "EPOCHS": "1",
        "EVERY": "4",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", str(ROOT / "examples" / "real_ct.sh"), str(shared_data), str(out)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    shards = ShardSet.open(out / "set")
    manifest = pd.read_csv(shared_data / "manifest.csv", dtype=str)
    scans = manifest[manifest["kind"].isin(["ct_volume", "dicom_ct"])]
    assert shards.manifest.totals.patients == scans["patient"].nunique()
    assert shards.manifest.totals.series == (scans["kind"] == "ct_volume").sum() + 3
    records = read_records(out / "results")
    assert {(record.model.arm, record.protocol.name) for record in records} == {
        (arm, protocol) for arm in ("in-domain", "random", "imagenet") for protocol in ("knn", "linear")
    }
    assert all(record.status == "done" and not record.task.synthetic for record in records)
    assert "timm loads the export" in done.stdout
