"""A JPEG without what it says besides its pixels.

Source of the layout: ITU-T T.81, annex B; of the two segments that decoders need, T.871 (JFIF) and T.872 (Adobe).
"""

SOI, EOI, SCAN, COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
JFIF_SEGMENT, ADOBE_SEGMENT = 0xE0, 0xEE
APPLICATIONS = range(0xE0, 0xF0)
RESTARTS = range(0xD0, 0xD8)
JFIF_BYTES, ADOBE_BYTES = 14, 12
"""Content of the two segments; JFIF without a thumbnail."""


def without_metadata(data: bytes) -> bytes:
    """A JPEG without everything that decoding does not need: EXIF, XMP, IPTC, comments, profiles, thumbnails.

    Segments are looked at one by one, also between the scans of a progressive JPEG, up to the end of the first
    picture. JFIF and Adobe stay where they hold nothing but what they are for: without them a decoder may take the
    wrong colours.

    Args:
        data: The file. One that is cut off in the data of a scan is kept up to its end.

    Raises:
        ValueError: The segments are damaged.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    kept, at, scans = [data[:2]], 2, 0
    while True:
        if scans and at + 2 > len(data):  # cut off: a decoder decides what it makes of that
            return b"".join(kept)
        if data[at : at + 1] != b"\xff" or at + 2 > len(data):
            raise ValueError("a damaged JPEG")
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == EOI and scans:
            return b"".join([*kept, data[at : at + 2]])
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a damaged JPEG")
        if marker == SCAN:
            scans += 1
            end = _end_of_scan(data, end)
        if _is_needed(marker, data[at + 4 : end]):
            kept.append(data[at:end])
        at = end


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the entropy-coded data that begin at `at` end: at the next marker that is neither a zero nor a restart."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        following = data[at + 1]
        if following == 0xFF:  # a fill byte, or the first of a marker
            at += 1
        elif following == 0 or following in RESTARTS:
            at += 2
        else:
            return at
    return len(data)


def _is_needed(marker: int, content: bytes) -> bool:
    """Whether a decoder needs a segment, by its marker and what it holds."""
    if marker == JFIF_SEGMENT:
        return len(content) == JFIF_BYTES and content.startswith(b"JFIF\0") and content[-2:] == b"\0\0"
    if marker == ADOBE_SEGMENT:
        return len(content) == ADOBE_BYTES and content.startswith(b"Adobe")
    return marker != COMMENT and marker not in APPLICATIONS
