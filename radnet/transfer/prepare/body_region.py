"""Task R of the reference study: CT slices whose body region is known, from an archive or from a set."""

from dataclasses import replace
from typing import ClassVar

from radnet.errors import UsageError
from radnet.scans.archive import Reject, take_inventory
from radnet.shards.manifest import MANIFEST
from radnet.shards.shard_set import ShardSet
from radnet.shards.subset import Selection
from radnet.transfer.prepare.contract import Conversion, Converter, Request

NO_REGION = "no_region"
SENTENCE = "Neither the header nor the metadata (column body_region) name one body region"


class BodyRegion(Converter):
    """An archive of DICOM and NIfTI files (with `metadata.csv` or --csv), or a shard set."""

    takes: ClassVar[frozenset[str]] = frozenset({"csv"})

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        regions = request.task.classes
        if (request.source / MANIFEST).is_file():
            held = ShardSet.open(request.source).manifest.totals.samples_by_region
            known = tuple(region for region in regions if held.get(region))
            if not known:
                raise UsageError("No slice of this set has a body region", seen=held, file=request.source)
            left = sum(count for region, count in held.items() if region not in known)
            return Conversion(
                Selection(regions=known),
                modalities=("CT",),
                notes=(f"slices of the set without a known region: {left}; they are left out",),
            )
        inventory = take_inventory(
            request.source, request.hasher, metadata=request.options.csv, jobs=request.jobs, modalities=("CT",)
        )
        series = tuple(source for source in inventory.series if source.tags.body_region in regions)
        unknown: list[Reject] = []
        for source in inventory.series:
            if source.tags.body_region not in regions:
                unknown += source.unreadable(NO_REGION, SENTENCE).rejects
        return Conversion(replace(inventory, series=series, rejects=(*inventory.rejects, *unknown)), modalities=("CT",))
