"""Make the example set beside this file again: four synthetic patients, two slices each.

    python shards/examples/make.py [OUT]

Nothing in it shows a person, so its secret may be public; the secret of real scans never may.
"""

import sys
import tempfile
from pathlib import Path

from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards.build import BuildSettings, build_shards

PUBLIC_SECRET = b"the public secret of the example"
SETTINGS = BuildSettings(split_fractions=(0.5, 0.25, 0.25), shard_bytes=40_000)


def main(out: Path) -> None:
    """Write the set to `out`, replacing what is there."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        write_phantom_archive(archive, patients=4, series_per_patient=1, slices=2, size=64)
        build_shards(archive, out, KeyedHash(PUBLIC_SECRET), SETTINGS, overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "phantom")
