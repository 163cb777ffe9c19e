"""The size that a compressed stream claims for itself, before a decoder makes room for it.

A few bytes in the stream of a JPEG or JPEG 2000 image can ask for gigabytes, whatever the DICOM header says.
Sources: ITU-T T.81 (JPEG, also of JPEG-LS, T.87) annex B, ITU-T T.800 (JPEG 2000) annex A.5.1.
"""

CODESTREAM = b"\xff\x4f\xff\x51"
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Start of frame, of every JPEG process and of JPEG-LS."""
START = 1 << 16
"""Bytes in which a stream names its size."""


def claimed_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that the first image in `stream` claims; None when it names none near its start.

    Args:
        stream: Encapsulated pixel data, or a single frame.
    """
    head = stream[:START]
    at = head.find(CODESTREAM)
    if at >= 0 and at + 24 <= len(head):
        right, bottom, left, top = (int.from_bytes(head[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
        return max(bottom - top, 0), max(right - left, 0)
    at = head.find(b"\xff\xd8\xff")
    return None if at < 0 else _jpeg_size(head, at + 2)


def _jpeg_size(head: bytes, at: int) -> tuple[int, int] | None:
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in FRAME_MARKERS:
            return int.from_bytes(head[at + 5 : at + 7], "big"), int.from_bytes(head[at + 7 : at + 9], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
