"""The stream's promise: the same batches in the same order, whoever makes them and wherever it was interrupted."""

import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from radnet.errors import RadnetError, UsageError
from radnet.shards import Batch, BatchOrder, ShardSet, Stream
from radnet.shards.streams import start_worker, starting_workers
from radnet.views import SimclrViews
from tests.shards.views_for_tests import Failing, PixelsAndChance

BATCH = 5


def stream_of(shards: ShardSet, *, rank: int = 0, workers: int = 0, **order: int) -> Stream:
    sizes = {"batch_size": BATCH, "seed": 3, **order}
    return Stream(
        shards, shards.rows(), PixelsAndChance(), BatchOrder(len(shards), **sizes), rank=rank, workers=workers
    )


def epochs_of(stream: Stream, epochs: int) -> list[Batch]:
    return [batch for _ in range(epochs) for batch in stream]


def same(left: Iterable[Batch], right: Iterable[Batch]) -> bool:
    """Whether two sequences of batches agree to the bit."""
    return all(
        (a.epoch, a.step) == (b.epoch, b.step)
        and torch.equal(a.rows, b.rows)
        and all(torch.equal(x, y) for x, y in zip(a.views, b.views, strict=True))
        for a, b in itertools.zip_longest(left, right, fillvalue=Batch([], torch.empty(0), -1, -1))
    )


@pytest.fixture(scope="module")
def reference(shards: ShardSet) -> list[Batch]:
    """Three epochs without interruption."""
    return epochs_of(stream_of(shards), 3)


def test_batches_hold_what_the_order_says(shards: ShardSet, reference: list[Batch]) -> None:
    order = BatchOrder(len(shards), BATCH, seed=3)
    expected = [(epoch, step) for epoch in range(3) for step in range(len(shards) // BATCH)]
    assert [(batch.epoch, batch.step) for batch in reference] == expected
    for batch in reference:
        assert batch.rows.tolist() == order.epoch(batch.epoch)[batch.step, 0].tolist()
        assert batch.views[0].shape == (BATCH, 1, 64, 64)
        for pixels, chance, row in zip(*batch.views, batch.rows.tolist(), strict=True):
            assert np.array_equal(pixels[0], shards.read_image(row))
            drawn = np.random.default_rng([3, batch.epoch, row]).random((1, 2, 2))
            assert np.array_equal(chance, drawn)


def test_epochs_differ_and_repeat_nothing(reference: list[Batch]) -> None:
    epochs = [torch.cat([batch.rows for batch in reference if batch.epoch == epoch]).tolist() for epoch in range(3)]
    assert all(len(set(rows)) == len(rows) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_workers_has_no_part_in_it(shards: ShardSet, reference: list[Batch], workers: int) -> None:
    stream = stream_of(shards, workers=workers)
    assert same(epochs_of(stream, 3), reference)
    stream.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_two_ranks_see_together_what_one_process_sees(shards: ShardSet, workers: int) -> None:
    alone = epochs_of(stream_of(shards, batch_size=8), 2)
    ranks = [epochs_of(stream_of(shards, batch_size=4, world_size=2, rank=rank, workers=workers), 2) for rank in (0, 1)]
    assert len(alone) == len(ranks[0]) == len(ranks[1])
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert not set(parts[0].rows.tolist()) & set(parts[1].rows.tolist())
        joined = [torch.cat(views) for views in zip(*(part.views for part in parts), strict=True)]
        assert same([whole], [Batch(joined, torch.cat([part.rows for part in parts]), whole.epoch, whole.step)])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("position", [(0, 0), (0, 4), (1, 0), (1, 8), (2, 3)])
def test_a_new_process_continues_anywhere(
    shards: ShardSet, reference: list[Batch], position: tuple[int, int], workers: int
) -> None:
    epoch, step = position
    stream = stream_of(shards, workers=workers)
    stream.load_state_dict({"epoch": epoch, "step": step})
    rest = [batch for batch in reference if (batch.epoch, batch.step) >= position]
    assert same(epochs_of(stream, 3 - epoch), rest)
    assert stream.state_dict() == {"epoch": 3, "step": 0}
    stream.close()


def test_every_state_points_to_the_next_batch(shards: ShardSet, reference: list[Batch]) -> None:
    stream = stream_of(shards)
    for number, _ in enumerate(epochs_with_states(stream, 3), start=1):
        state = pickle.loads(pickle.dumps(stream.state_dict()))  # noqa: S301 - its own bytes
        following = reference[number] if number < len(reference) else None
        assert following is None or state == {"epoch": following.epoch, "step": following.step}


def epochs_with_states(stream: Stream, epochs: int) -> Iterator[Batch]:
    for _ in range(epochs):
        yield from stream


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_was_left_goes_on_where_it_stopped(shards: ShardSet, reference: list[Batch], workers: int) -> None:
    stream = stream_of(shards, workers=workers)
    seen = list(itertools.islice(stream, 3))
    for batch in stream:
        seen.append(batch)
        if batch.step == 5:
            break
    stream.close()
    seen += [*stream, *stream]
    assert same(seen, reference[: len(seen)])
    assert len(seen) == 2 * len(stream)
    stream.close()


def test_going_back_repeats_the_batches(shards: ShardSet, reference: list[Batch]) -> None:
    stream = stream_of(shards)
    epochs_of(stream, 2)
    stream.load_state_dict({"epoch": 0, "step": 7})
    assert same(stream, [batch for batch in reference if batch.epoch == 0 and batch.step >= 7])


@pytest.mark.parametrize("state", [{"epoch": 0, "step": 9}, {"epoch": -1, "step": 0}, {"epoch": 0, "step": -1}])
def test_positions_of_another_stream_are_refused(shards: ShardSet, state: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="9 steps"):
        stream_of(shards).load_state_dict(state)


def test_arguments_that_do_not_fit(shards: ShardSet) -> None:
    with pytest.raises(ValueError, match="rows"):
        Stream(shards, shards.rows()[1:], PixelsAndChance(), BatchOrder(len(shards), 4))
    with pytest.raises(ValueError, match="rank"):
        stream_of(shards, world_size=2, rank=2)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_damaged_sample_arrives_as_the_error_it_is(
    built: Path, reference: list[Batch], tmp_path: Path, workers: int
) -> None:
    copied = shutil.copytree(built, tmp_path / "ct", copy_function=shutil.copyfile)
    shards = ShardSet.open(copied)
    row = int(reference[3].rows[2])
    entry = shards.index.iloc[row]
    shard = copied / entry["shard"]
    whole = shard.read_bytes()
    with shard.open("r+b") as opened:
        opened.seek(int(entry["image_offset"]) + 40)
        opened.write(bytes(64))
    stream = stream_of(shards, workers=workers)
    seen = []
    with pytest.raises(RadnetError) as caught:
        seen.extend(stream)
    error = caught.value
    assert type(error) is RadnetError
    assert str(error) == (
        f"Sample {entry['key']} is damaged: its bytes are not the ones that were written (CRC-32). File: {shard}. "
        "Copy the shard again from its source, or build the set again."
    )
    assert error.file == shard
    assert ("Traceback" in "".join(getattr(error, "__notes__", []))) == (workers > 0)
    assert stream.state_dict() == {"epoch": 0, "step": len(seen)}
    if workers < 2:  # two workers: the batch before may still be under way
        assert len(seen) == 3
    shard.write_bytes(whole)
    shards.close()
    assert same([*seen, *stream], reference[: len(stream)])
    stream.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_a_recipe_is_not_hidden(shards: ShardSet, workers: int) -> None:
    stream = Stream(shards, shards.rows(), Failing(), BatchOrder(len(shards), 4), workers=workers)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="a mistake in a recipe"):
            next(iter(stream))


def test_errors_travel_between_processes() -> None:
    error = UsageError("What was wrong", seen={"a": 1}, file=Path("place"), fix="Mend it")
    error.add_note("where it was")
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert type(twin) is UsageError
    assert str(twin) == str(error) == "What was wrong (seen: {'a': 1}). File: place. Mend it."
    assert (twin.what, twin.seen, twin.file, twin.fix) == (error.what, error.seen, error.file, error.fix)
    assert twin.__notes__ == ["where it was"]


def test_simclr_views_do_not_depend_on_the_workers(shards: ShardSet) -> None:
    order = BatchOrder(len(shards), 8, seed=1)
    helped, alone = (
        list(Stream(shards, shards.rows(), SimclrViews(size=32), order, workers=workers)) for workers in (2, 0)
    )
    assert same(alone, helped)
    assert [view.dtype for view in alone[0].views] == [torch.float32, torch.float32]


SPAWNED = """
import sys, torch
from radnet.shards import BatchOrder, ShardSet, Stream
from tests.shards.views_for_tests import PixelsAndChance
if __name__ == "__main__":
    torch.multiprocessing.set_start_method("spawn")
    shards = ShardSet.open(sys.argv[1])
    stream = Stream(shards, shards.rows(), PixelsAndChance(), BatchOrder(len(shards), 5, seed=3), workers=1)
    torch.save([(b.epoch, b.step, b.rows, b.views) for b in stream], sys.argv[2])
    stream.close()
"""


def test_workers_that_start_from_nothing(built: Path, shards: ShardSet, reference: list[Batch], tmp_path: Path) -> None:
    """The start method `spawn`, as on macOS and Windows: everything is pickled."""
    (tmp_path / "main.py").write_text(SPAWNED)
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, tmp_path / "main.py", built, tmp_path / "batches.pt"],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
    )
    loaded = torch.load(tmp_path / "batches.pt", weights_only=True)
    batches = [Batch(views, rows, epoch, step) for epoch, step, rows, views in loaded]
    assert same(batches, reference[: len(shards) // BATCH])


def test_workers_outlive_the_signals_that_a_job_gets_before_its_end(shards: ShardSet, reference: list[Batch]) -> None:
    stream = stream_of(shards, workers=2)
    batches = iter(stream)
    found = [next(batches)]  # one worker has begun, the other one perhaps not yet
    for worker in multiprocessing.active_children():
        for number in (signal.SIGTERM, signal.SIGUSR1):
            os.kill(worker.pid or 0, number)
    time.sleep(0.2)
    found += list(batches)
    stream.close()
    assert same(found, reference[: len(stream)])
    assert not multiprocessing.active_children()


def test_a_signal_that_comes_before_a_worker_has_begun_does_not_end_it() -> None:
    def slow(number: int) -> None:
        time.sleep(0.3)
        start_worker(number)

    loader = DataLoader(list(range(8)), num_workers=2, worker_init_fn=slow, multiprocessing_context="fork")
    with starting_workers():
        numbers = iter(loader)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid or 0, signal.SIGTERM)
    assert sorted(int(number) for number in numbers) == list(range(8))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGTERM, signal.SIGUSR1}


FORKING = """
import cv2, sys
from radnet.scans.phantom import phantom_series
from radnet.shards import BatchOrder, ShardSet, Stream
from radnet.views import SimclrViews
if __name__ == "__main__":
    cv2.setNumThreads(4)
    phantom_series(0, 0, "abdomen", slices=4, size=512)  # keeps OpenCV's threads busy
    shards = ShardSet.open(sys.argv[1])
    for seed in range(4):
        stream = Stream(shards, shards.rows(), SimclrViews(size=16), BatchOrder(len(shards), 4, seed=seed), workers=2)
        next(iter(stream))
        stream.close()
    assert cv2.getNumThreads() == 4
"""


def test_workers_start_although_opencv_had_threads(built: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", FORKING, built], env=environment, check=True, timeout=120)
