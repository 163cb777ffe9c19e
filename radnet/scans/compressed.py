"""What a compressed stream says of itself, looked at before a decoder believes it.

A few bytes in the stream of a JPEG or JPEG 2000 image can ask for gigabytes, whatever the DICOM header says, and GDCM
ends the whole process where the header of such a stream is out of order.
Sources: ITU-T T.81 (JPEG, also of JPEG-LS, T.87) annex B, ITU-T T.800 (JPEG 2000) annex A.5.1.
"""

CODESTREAM = b"\xff\x4f\xff\x51"
COMPONENTS = 40
"""Where a JPEG 2000 stream names the number of its components, and then the bits of the first."""
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Start of frame, of every JPEG process and of JPEG-LS."""
HUFFMAN_TABLES, SCAN = 0xC4, 0xDA
OTHER_SEGMENTS = frozenset({0xCC, 0xDB, 0xDC, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0)})
"""Tables, restart intervals, parameters of JPEG-LS, applications, comments."""
JFIF = b"JFIF\0"
"""Another major version than 1 is one of the warnings on which GDCM ends the process."""
START = 1 << 16
"""Bytes in which a stream names its size."""


def jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that the first JPEG or JPEG-LS image in `stream` claims; None when it names none near its start.

    Args:
        stream: Encapsulated pixel data, or a single frame. In another compression (RLE) its bytes may be pixels.
    """
    head = stream[:START]
    at = head.find(b"\xff\xd8\xff")
    return None if at < 0 else _frame_size(head, at + 2)


def jpeg_2000_size(stream: bytes) -> tuple[int, int] | None:
    """The same of the first JPEG 2000 (or HTJ2K) image."""
    head = stream[:START]
    at = head.find(CODESTREAM)
    if at < 0 or at + 24 > len(head):
        return None
    right, bottom, left, top = (int.from_bytes(head[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
    return max(bottom - top, 0), max(right - left, 0)


def has_sound_jpeg_2000_header(stream: bytes) -> bool:
    """Whether the first JPEG 2000 image of `stream` holds one component of 1 to 16 bits.

    On more bits than there are GDCM ends the process.
    """
    head = stream[:START]
    at = head.find(CODESTREAM)
    if at < 0 or at + COMPONENTS + 3 > len(head):
        return False
    bits = (head[at + COMPONENTS + 2] & 0x7F) + 1
    return int.from_bytes(head[at + COMPONENTS : at + COMPONENTS + 2], "big") == 1 and bits <= 16


def has_sound_jpeg_header(stream: bytes) -> bool:
    """Whether the segments of the first JPEG image follow each other without a gap up to its scan.

    One frame header with 2 to 16 bits a sample and as many components as its length says, and a scan header that fits
    its own length; Huffman tables before the scan whose codes fit their length, except in JPEG-LS.

    Args:
        stream: Encapsulated pixel data, or a single frame.
    """
    head = stream[:START]
    at = head.find(b"\xff\xd8\xff") + 2
    frames, components = 0, 0
    while at >= 2 and at + 4 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        body = head[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            return False
        if marker in FRAME_MARKERS:
            frames, components = frames + 1, body[5] if len(body) >= 6 else 0
            if not components or len(body) != 6 + 3 * components or not 2 <= body[0] <= 16:
                return False
        elif marker == HUFFMAN_TABLES:
            if not _are_sound_tables(body):
                return False
        elif marker == SCAN:
            return frames == 1 and len(body) >= 4 and 1 <= body[0] <= components and len(body) == 4 + 2 * body[0]
        elif marker not in OTHER_SEGMENTS or (body.startswith(JFIF) and body[5:6] != b"\x01"):
            return False
        at += 2 + length
    return False


def _are_sound_tables(body: bytes) -> bool:
    at = 0
    while at + 17 <= len(body):
        counts = body[at + 1 : at + 17]
        # no more codes of a length than the shorter ones leave room for
        room = 1
        for count in counts:
            room = 2 * room - count
            if room < 0:
                return False
        at += 17 + sum(counts)
    return at == len(body)


def _frame_size(head: bytes, at: int) -> tuple[int, int] | None:
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in FRAME_MARKERS:
            return int.from_bytes(head[at + 5 : at + 7], "big"), int.from_bytes(head[at + 7 : at + 9], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
