"""How large an image may be before a header is taken for a lie: nothing is allocated on the word of a header alone."""

from radnet.scans.sources import RefusedError

MAX_SLICE_PIXELS = 2**26
"""8192 x 8192; a CT slice has up to 2048 x 2048 pixels, a radiograph up to about 5000 x 5000."""
MAX_SERIES_VOXELS = 2**31
"""8192 slices of 512 x 512."""
MAX_DEFLATED_BYTES = 2**29
"""What a deflated DICOM file may become, which is decompressed as a whole: 1024 slices of 512 x 512 in 16 bits."""
MAX_EXTENSION_BYTES = 2**24
"""What stands between the header and the voxels of a NIfTI file is read as a whole; it is a text, or a DICOM header."""
DEFLATE_RATIO = 1040
"""No deflated stream grows more than by a factor of 1032 (zlib's technical notes), so neither does a .gz file."""


def require_plausible_slice(rows: int, columns: int) -> None:
    """Refuse an empty slice, and one larger than any scanner makes.

    Raises:
        RefusedError: "unreadable" or "too_large".
    """
    if rows < 1 or columns < 1:
        raise RefusedError("unreadable", "The header claims a slice without pixels")
    if rows * columns > MAX_SLICE_PIXELS:
        raise RefusedError("too_large", f"The header claims a slice of {rows} x {columns} pixels")


def require_plausible_series(slices: int, rows: int, columns: int) -> None:
    """Refuse a volume that no memory holds.

    Raises:
        RefusedError: "too_large".
    """
    if slices * rows * columns > MAX_SERIES_VOXELS:
        raise RefusedError("too_large", f"The volume has {slices} x {rows} x {columns} voxels; read it in parts")


def require_bytes(claimed: int, present: int, *, compressed: bool = False) -> None:
    """Refuse a file that cannot hold what its header claims.

    Args:
        claimed: Bytes of voxels.
        present: Bytes of the file.
        compressed: Whether the file is deflated, so that it may hold more than its size.

    Raises:
        RefusedError: "truncated".
    """
    if claimed > present * (DEFLATE_RATIO if compressed else 1):
        raise RefusedError("truncated", "The file is smaller than the voxels that its header claims")
