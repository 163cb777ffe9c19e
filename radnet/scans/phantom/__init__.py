"""Synthetic whole-body CT with masks and slice labels: the embedded default data and the tests' fixture.

Nothing in it shows a person; everything written from it says "synthetic".
"""

from radnet.scans.phantom.archive import write_phantom_archive
from radnet.scans.phantom.series import PhantomSeries, phantom_series
from radnet.scans.phantom.structures import STRUCTURES
from radnet.scans.scan import REGIONS as PHANTOM_REGIONS

__all__ = ["PHANTOM_REGIONS", "STRUCTURES", "PhantomSeries", "phantom_series", "write_phantom_archive"]
