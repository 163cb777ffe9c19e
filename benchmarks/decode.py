"""Slice codecs side by side: size and decoding time of real int16 slices, on one core, in one run.

    python benchmarks/decode.py [--slices 12] [--turns 7]

Slices come at their own size and at 512 px. Every codec is lossless and is checked to be. A turn decodes all slices of
a group several times with one codec, then with the next.
"""

import io
import statistics
from collections.abc import Callable
from typing import Any

import cv2
import jpeg_ls
import numpy as np
import openjpeg
import pyarrow as pa
from common import Bar, Report, Slice, arguments, finish, in_turns, seconds, slices_512, slices_native

from radnet.shards import codec

PNG, RADNET = "16-bit PNG (OpenCV)", "radnet .b2nd (blosc2)"
LEAST_SPEED, MOST_BYTES = 20.0, 1.05
ZSTD = pa.Codec("zstd", 3)
SLOW = ("JPEG-LS", "JPEG 2000")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--slices", type=int, default=12, help="slices of each group")
    parser.add_argument("--turns", type=int, default=7, help="turns of each codec; the median counts")
    options = parser.parse_args()
    if options.quick:
        options.slices, options.turns = 2, 3
    cv2.setNumThreads(1)
    codec.use_one_thread()
    report = Report("decode", {"slices": options.slices, "turns": options.turns})
    native = slices_native(options.slices, report)
    groups = {"512 px": slices_512(options.slices, report)} | dict(list(native.items())[: 2 if options.quick else None])
    measured = {name: measure(slices, options.turns, quick=options.quick) for name, slices in groups.items()}
    for name, rows in measured.items():
        report.add(f"{len(groups[name])} slices, {name}", rows)
    speeds, sizes = ratios(measured["512 px"])
    report.bars += [
        Bar("512 px: decode against 16-bit PNG", speeds, LEAST_SPEED),
        Bar("512 px: bytes against 16-bit PNG", sizes, MOST_BYTES, at_least=False),
    ]
    own = [ratios(rows) for name, rows in measured.items() if name != "512 px"]
    report.bars += [
        Bar("own size, median group: decode against PNG", statistics.median(s for s, _ in own), LEAST_SPEED),
        Bar(
            "own size, median group: bytes against PNG",
            statistics.median(b for _, b in own),
            MOST_BYTES,
            at_least=False,
        ),
    ]
    finish(report, options)


def ratios(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Speed and bytes of radnet against 16-bit PNG."""
    row = next(row for row in rows if row["codec"] == RADNET)
    return row["speed / PNG"], row["bytes / PNG"]


def measure(slices: list[Slice], turns: int, *, quick: bool) -> list[dict[str, Any]]:
    """One row a codec."""
    frames = {name: [encode(hu) for hu in slices] for name, (encode, _) in CODECS.items()}
    for name, (_, decode) in CODECS.items():
        for hu, frame in zip(slices, frames[name], strict=True):
            if not np.array_equal(decode(frame), hu):
                raise SystemExit(f"{name}: a slice did not come back to the bit")

    def one_turn(name: str) -> Callable[[], float]:
        decode, repeats = CODECS[name][1], 1 if quick or name in SLOW else 5

        def decode_all() -> None:
            for _ in range(repeats):
                for frame in frames[name]:
                    decode(frame)  # dropped before the next, as a loader does once it has the views

        return lambda: seconds(decode_all) / repeats

    took = in_turns({name: one_turn(name) for name in CODECS}, turns)
    size = {name: sum(map(len, found)) for name, found in frames.items()}
    raw = sum(hu.nbytes for hu in slices)
    return [
        {
            "codec": name,
            "bytes / raw": size[name] / raw,
            "decode ms": 1e3 * took[name] / len(slices),
            "bytes / PNG": size[name] / size[PNG],
            "speed / PNG": took[PNG] / took[name],
        }
        for name in CODECS
    ]


def encode_png(hu: Slice) -> bytes:
    return bytes(cv2.imencode(".png", shifted(hu))[1])


def decode_png(data: bytes) -> Slice:
    return unshifted(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def encode_npz(hu: Slice) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, hu=hu)
    return file.getvalue()


def decode_npz(data: bytes) -> Slice:
    with np.load(io.BytesIO(data)) as arrays:
        return np.asarray(arrays["hu"])


def encode_zstd(hu: Slice) -> bytes:
    return np.array(hu.shape, "<i4").tobytes() + ZSTD.compress(hu.tobytes(), asbytes=True)


def decode_zstd(data: bytes) -> Slice:
    rows, columns = np.frombuffer(data, "<i4", 2)
    values = ZSTD.decompress(memoryview(data)[8:], 2 * int(rows) * int(columns))
    return np.frombuffer(values, np.int16).reshape(rows, columns)


def encode_jpeg_ls(hu: Slice) -> bytes:
    return bytes(jpeg_ls.encode_array(shifted(hu)))


def decode_jpeg_ls(data: bytes) -> Slice:
    return unshifted(jpeg_ls.decode(np.frombuffer(data, np.uint8)))


def encode_jpeg_2000(hu: Slice) -> bytes:
    return bytes(openjpeg.encode(shifted(hu), codec_format=0))


def decode_jpeg_2000(data: bytes) -> Slice:
    return unshifted(openjpeg.decode(data))


def shifted(hu: Slice) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """For codecs without signed values."""
    return (hu.astype(np.int32) + 32768).astype(np.uint16)


def unshifted(values: np.ndarray[Any, np.dtype[np.uint16]]) -> Slice:
    return (values ^ 0x8000).view(np.int16)


CODECS: dict[str, tuple[Callable[[Slice], bytes], Callable[[bytes], Slice]]] = {
    PNG: (encode_png, decode_png),
    RADNET: (codec.encode, codec.decode),  # type: ignore[dict-item]
    "npz (deflate)": (encode_npz, decode_npz),
    "zstd 3": (encode_zstd, decode_zstd),
    "JPEG-LS": (encode_jpeg_ls, decode_jpeg_ls),
    "JPEG 2000": (encode_jpeg_2000, decode_jpeg_2000),
}


if __name__ == "__main__":
    main()
