"""Reading an index column by column and piece by piece, so that memory does not grow with the set."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 16_384


def batches(index: Path, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """The index in pieces, in order.

    Args:
        index: The parquet file.
        columns: Which columns; those that the file lacks are left out. None for all.
        rows: Largest number of rows of a piece.
    """
    with pq.ParquetFile(index) as file:
        names = file.schema_arrow.names if columns is None else [c for c in columns if c in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=rows, columns=names):
            yield pa.Table.from_batches([batch])


def stream_rows(index: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of an index as dictionaries, in order; see `batches`."""
    for table in batches(index, columns, rows=2048):
        yield from table.to_pylist()
