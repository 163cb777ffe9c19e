"""Sets over http and pipes: the same images, within the limit, and an error where a server misbehaves."""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import radnet.shards
from radnet.errors import RadnetError, UsageError
from radnet.shards import ShardSet
from radnet.shards.manifest import MANIFEST
from radnet.shards.remote import Remote, open_remote, shown
from tests.shards.views_for_tests import PixelsAndChance

QUICK = {"stall_s": 0.5, "tries": 2, "pause_s": 0.01}


class Moody(SimpleHTTPRequestHandler):
    """Serves files; one that ends in `bad` misbehaves as `mood` says."""

    mood, bad = "", ".tar"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        mood = self.mood if self.path.endswith(self.bad) else ""
        if mood == "missing":
            self.send_error(404)
        elif mood in ("drops", "stalls", "wrong"):
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(bytes(len(data)) if mood == "wrong" else data[: len(data) // 2])
            self.wfile.flush()
            if mood == "stalls":
                time.sleep(1.5)
        else:
            super().do_GET()


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Iterator[tuple[str, type[Moody], Path]]:
    root = shutil.copytree(built, tmp_path / "site", copy_function=shutil.copyfile)
    handler = type("Handler", (Moody,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler, root
    server.shutdown()
    server.server_close()
    thread.join()


def held(cache: Path) -> int:
    return sum(path.stat().st_size for path in (cache / "shards").iterdir())


@pytest.mark.parametrize("pipe", [False, True])
def test_a_far_set_is_the_near_one_within_the_limit(
    site: tuple[str, type[Moody], Path], shards: ShardSet, tmp_path: Path, pipe: bool
) -> None:
    url = f"pipe:cat {site[2]}/{{file}}" if pipe else site[0]
    limit = 2 * max(shard.bytes for shard in shards.manifest.shards)
    far = ShardSet.open(url, cache=tmp_path / "cache", cache_bytes=limit)
    for row in (*range(len(shards)), 0):
        assert np.array_equal(far.read_image(row), shards.read_image(row))
        assert held(tmp_path / "cache") <= limit
    near = radnet.shards.stream(shards, views=PixelsAndChance(), batch_size=4)
    remote = radnet.shards.stream(far, views=PixelsAndChance(), batch_size=4, workers=2)
    for a, b in zip(near, remote, strict=True):
        assert a.rows.tolist() == b.rows.tolist()
        assert (a.views[0] == b.views[0]).all()
    remote.close()
    assert held(tmp_path / "cache") <= limit
    with pytest.raises(UsageError, match="at least"):
        radnet.shards.stream(far, views=PixelsAndChance(), batch_size=4, window_shards=9)


@pytest.mark.parametrize(
    ("mood", "words"), [("missing", "404"), ("drops", "tried 2"), ("stalls", "timed out"), ("wrong", "Another file")]
)
def test_a_server_that_misbehaves(
    site: tuple[str, type[Moody], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], mood: str, words: str
) -> None:
    url, handler, _ = site
    far = open_remote(url, tmp_path / "cache", 10**9, **QUICK)
    handler.mood = mood
    with pytest.raises(RadnetError, match=words):
        far.read_image(0)
    assert "try 2 of 2" in capsys.readouterr().err
    assert held(tmp_path / "cache") == 0
    handler.mood = ""
    assert far.read_image(0).shape == (64, 64)


def test_a_pipe_that_stalls_or_fails(tmp_path: Path) -> None:
    for command, words in (("exec sleep 60; : {file}", "nothing came"), ("false {file}", "could not be fetched")):
        with pytest.raises(RadnetError, match=words):
            open_remote(f"pipe:{command}", tmp_path / "cache", 10**9, **QUICK)
    with pytest.raises(UsageError, match="file"):
        open_remote("pipe:cat x", tmp_path / "cache", 10**9)


@pytest.mark.parametrize(
    "address", ["reader:hunter2@127.0.0.1:1/s", "hunter2@127.0.0.1:1/s", "reader:hunter2/x@127.0.0.1/s", "[hunter2/s"]
)
def test_an_address_with_a_password_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    with pytest.raises(UsageError, match="password") as caught:
        ShardSet.open(f"http://{address}", cache=tmp_path / "cache")
    assert "hunter2" not in f"{caught.value}{capsys.readouterr()}"


@pytest.mark.parametrize("ending", ["false {file}", "true; exit 7 # {file}", "sleep 60 # {file}"])
def test_a_password_in_a_command_is_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str) -> None:
    with pytest.raises(RadnetError, match="pipe:true …") as caught:
        open_remote(f"pipe:true -u reader:hunter2; exec {ending}", tmp_path / "cache", 10**9, **QUICK)
    assert "hunter2" not in f"{caught.value}{capfd.readouterr()}"


def test_what_is_shown_of_an_address() -> None:
    assert shown("http://host/set") == "http://host/set"
    assert shown("https://host/get?key=hunter2&set=ct") == "https://host/get?…"
    assert shown("pipe:curl -u reader:hunter2 {file}") == "pipe:curl …"
    assert shown("pipe:KEY=hunter2 curl {file}") == "pipe:…"


def test_two_threads_open_one_set_at_once(
    site: tuple[str, type[Moody], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one process number, as processes of two containers may be; nothing of it stays."""
    fetch, both = Remote.fetch, threading.Barrier(2, timeout=20)

    def fetch_together(remote: Remote, name: str, path: Path, **limits: Any) -> None:
        both.wait()
        fetch(remote, name, path, **limits)
        both.wait()

    monkeypatch.setattr(Remote, "fetch", fetch_together)
    with ThreadPoolExecutor(2) as threads:
        opened = [threads.submit(open_remote, site[0], tmp_path / "cache", 10**9, **QUICK) for _ in range(2)]
        sets = [future.result() for future in opened]
    monkeypatch.undo()
    assert all(np.array_equal(far.read_image(0), sets[0].read_image(0)) for far in sets)
    assert not any((tmp_path / "cache" / "incoming").iterdir())


def test_what_a_killed_process_left_is_in_nobodys_way(site: tuple[str, type[Moody], Path], tmp_path: Path) -> None:
    incoming = tmp_path / "cache" / "incoming"
    left = incoming / f"{hashlib.sha256(site[0].encode()).hexdigest()[:16]}.{os.getpid()}" / "index.parquet"
    open_remote(site[0], tmp_path / "cache", 10**9, **QUICK)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"cut")
    open_remote(site[0], tmp_path / "cache", 10**9, **QUICK)
    site[1].mood, site[1].bad = "missing", MANIFEST
    with pytest.raises(RadnetError, match="404"):
        open_remote(site[0], tmp_path / "cache", 10**9, **QUICK)
    assert list(incoming.iterdir()) == [left.parent]


def test_a_manifest_that_leads_elsewhere_and_a_small_limit(site: tuple[str, type[Moody], Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="largest shard"):
        ShardSet.open(site[0], cache=tmp_path / "cache", cache_bytes=100)
    manifest = json.loads((site[2] / MANIFEST).read_text())
    manifest["shards"][0]["file"] = "../x"
    (site[2] / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="outside"):
        ShardSet.open(site[0], cache=tmp_path / "cache")


@pytest.mark.parametrize("entry", ["shards", "index", "rejects"])
@pytest.mark.parametrize("sha256", ["../../home/x", "A" * 64, "0" * 64 + "\n", ""])
def test_a_manifest_whose_hash_is_a_path(
    site: tuple[str, type[Moody], Path], tmp_path: Path, entry: str, sha256: str
) -> None:
    """Files of the cache are called after hashes, and a manifest from elsewhere must not choose where they lie."""
    about = json.loads((site[2] / MANIFEST).read_text())
    (about["shards"][0] if entry == "shards" else about[entry])["sha256"] = sha256
    (site[2] / MANIFEST).write_text(json.dumps(about))
    with pytest.raises(UsageError, match="sha256") as caught:
        ShardSet.open(site[0], cache=tmp_path / "cache")
    assert caught.value.file == f"{MANIFEST} of {site[0]}"
    assert not (tmp_path / "cache" / "sets").exists()
