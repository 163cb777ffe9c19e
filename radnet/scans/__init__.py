"""Floor 1: files become scans: HU volume, geometry, modality, keyed patient hash, safe tags."""

from radnet.scans.scan import REGIONS, UNKNOWN_REGION, Scan, ScanTags

__all__ = ["REGIONS", "UNKNOWN_REGION", "Scan", "ScanTags"]
