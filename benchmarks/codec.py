"""Slice codecs side by side: size and decoding speed of int16 slices, on one core, in one run.

    python benchmarks/codec.py [--size 512] [--slices 12] [--repeats 15]

The slices are phantom ones with their noise; both columns of ratios are of this run, against 16-bit PNG.
"""

import argparse
import io
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom import PHANTOM_REGIONS, phantom_series
from radnet.shards import codec

Slice = NDArray[np.int16]
Codec = tuple[Callable[[Slice], bytes], Callable[[bytes], Slice]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="rows and columns of a slice")
    parser.add_argument("--slices", type=int, default=12, help="number of slices, over all body regions")
    parser.add_argument("--repeats", type=int, default=15, help="how often each is decoded; the fastest time counts")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    codec.use_one_thread()
    slices = phantom_slices(options.slices, options.size)
    codecs: dict[str, Codec] = {
        "16-bit PNG (OpenCV)": (encode_png, decode_png),
        "npz (zlib)": (encode_npz, decode_npz),
        "radnet (blosc2 LZ4HC)": (codec.encode, codec.decode),  # type: ignore[dict-item]
    }
    measured = {name: measure(pair, slices, options.repeats) for name, pair in codecs.items()}
    png_bytes, png_s = measured["16-bit PNG (OpenCV)"]
    raw = sum(hu.nbytes for hu in slices)
    print(f"{len(slices)} synthetic slices of {options.size} x {options.size}, one core")
    print(f"{'codec':24}{'bytes / raw':>12}{'decode':>12}{'size / PNG':>12}{'speed / PNG':>12}")
    for name, (size, seconds) in measured.items():
        row = f"{size / raw:12.3f}{1e3 * seconds:9.3f} ms{size / png_bytes:12.2f}{png_s / seconds:11.1f}x"
        print(f"{name:24}{row}")


def phantom_slices(count: int, size: int) -> list[Slice]:
    """Slices of all body regions in turn."""
    each = -(-count // len(PHANTOM_REGIONS))
    volumes = [phantom_series(0, 0, region, slices=each, size=size).hu for region in PHANTOM_REGIONS]
    return [hu for level in zip(*volumes, strict=True) for hu in level][:count]


def measure(pair: Codec, slices: list[Slice], repeats: int) -> tuple[int, float]:
    """Bytes of all slices, and mean over slices of the fastest decoding in seconds; every slice must come back."""
    encode, decode = pair
    size, seconds = 0, 0.0
    for hu in slices:
        data = encode(hu)
        if not np.array_equal(decode(data), hu):
            raise SystemExit("a slice did not come back to the bit")
        fastest = np.inf
        for _ in range(repeats):
            start = time.perf_counter()
            decode(data)
            fastest = min(fastest, time.perf_counter() - start)
        size += len(data)
        seconds += float(fastest)
    return size, seconds / len(slices)


def encode_png(hu: Slice) -> bytes:
    shifted = (hu.astype(np.int32) + 32768).astype(np.uint16)
    return bytes(cv2.imencode(".png", shifted)[1])


def decode_png(data: bytes) -> Slice:
    shifted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return (shifted ^ 0x8000).view(np.int16)


def encode_npz(hu: Slice) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, hu=hu)
    return file.getvalue()


def decode_npz(data: bytes) -> Slice:
    with np.load(io.BytesIO(data)) as arrays:
        return np.asarray(arrays["hu"])


if __name__ == "__main__":
    main()
