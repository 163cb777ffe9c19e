from dataclasses import replace
from pathlib import Path

from radnet.scans.dicom_headers import read_headers
from radnet.scans.interning import SHARED, Interner
from tests.scans.dicom_factory import write_series


def test_headers_of_a_series_share_their_values(tmp_path: Path) -> None:
    write_series(tmp_path, SeriesDescription="Thorax", ConvolutionKernel="B30f")
    interner = Interner()
    headers = [read_headers(path)[0] for path in sorted(tmp_path.iterdir())]
    slim = [interner.header(replace(header)) for header in headers]
    assert slim == headers
    assert all(getattr(slim[0], name) is getattr(slim[3], name) for name in SHARED)
    assert slim[0].position_mm[0] is slim[3].position_mm[0]
    assert slim[0].texts is not headers[3].texts


def test_equal_numbers_of_two_types_stay_apart() -> None:
    interner = Interner()
    assert [type(interner._one(value)) for value in (1, 1.0, True)] == [int, float, bool]
