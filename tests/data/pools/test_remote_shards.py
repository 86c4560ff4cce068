"""Shards behind a server: ranges, retries, and what a run says when the server is gone."""

import http.server
import pickle
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from fer_ssl.data.decode import Decoder
from fer_ssl.data.pools import shards, storage
from fer_ssl.data.pools.shards import ShardPool, expanded
from fer_ssl.data.pools.storage import LocalFiles, RemoteFiles
from fer_ssl.errors import ConfigError, DataError, UnreachableError


class Server(http.server.ThreadingHTTPServer):
    """Serves `folder` by ranges; answers the next `failures` requests with an error, all of them late by `delay`."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.failures, self.delay, self.ranges = folder, 0, 0.0, True
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path} {self.headers.get('Range')}")
        time.sleep(self.server.delay)
        if self.server.failures > 0:
            self.server.failures -= 1
            return self.send_error(503)
        path = self.server.folder / self.path.strip("/")
        if not path.is_file():
            return self.send_error(404)
        data, status = path.read_bytes(), 200
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part and self.server.ranges:
            data, status = data[int(part[1]) : int(part[2]) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            self.wfile.write(data)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(face_bytes, write_shard, tmp_path: Path) -> Iterator[Server]:
    for number in range(2):
        write_shard(
            tmp_path / f"{number:06d}.tar", [(f"p{number}_{row}.png", face_bytes[row + 3 * number]) for row in range(3)]
        )
    with Server(tmp_path) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shards, "RemoteFiles", Impatient)
    monkeypatch.setattr(shards, "INDEXED_TOGETHER", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Impatient(RemoteFiles):
    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths, waits=(0.01, 0.02), timeout=1.0)


def load(server: Server):
    return ShardPool(f"{server.url}/{{000000..000001}}.tar").load(Decoder(8, 1, resident=False))


def values(faces, rows: list[int]) -> list[float]:
    return faces.images.read(torch.tensor(rows)).flatten(1).float().mean(1).tolist()


def test_remote_shards_are_read_like_local_ones(server: Server) -> None:
    faces = load(server)
    local = ShardPool(server.folder).load(Decoder(8, 1, resident=False))
    assert faces.ids.tolist() == local.ids.tolist()
    assert faces.subjects.tolist() == ["p0"] * 3 + ["p1"] * 3
    assert values(faces, [5, 0, 3]) == [5, 0, 3]


def test_a_batch_asks_for_the_bytes_of_its_faces_only(server: Server) -> None:
    faces = load(server)
    server.asked.clear()
    values(faces, [1, 4])
    sizes = [int(b) - int(a) + 1 for a, b in re.findall(r"bytes=(\d+)-(\d+)", " ".join(server.asked))]
    assert sizes == faces.images.encoded.sizes[[1, 4]].tolist()


def test_threads_that_ask_at_once_read_what_each_has_asked_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = load(server).images.encoded
    monkeypatch.setattr(RemoteFiles, "read", lambda *_: pytest.fail("a face that was asked for is read again"))
    all_asked = threading.Barrier(3)

    def read(rows: list[int]) -> list[bytes]:
        encoded.ask(rows)
        all_asked.wait(10)
        return [encoded[row] for row in rows]

    with ThreadPoolExecutor(3) as threads:
        found = [face for faces in threads.map(read, ([0, 1], [2, 3], [4, 5])) for face in faces]
    assert found == pickle.loads(pickle.dumps(encoded)).files.read_many(
        *(column.tolist() for column in (encoded.shards, encoded.offsets, encoded.sizes))
    )


def test_where_members_lie_is_asked_once(server: Server) -> None:
    load(server)
    server.asked.clear()
    load(server)
    assert not [line for line in server.asked if line.startswith("GET") and "bytes" in line]


def test_a_server_that_recovers_loses_nothing(server: Server) -> None:
    faces = load(server)
    server.failures = 2
    assert values(faces, [0, 1, 2, 3, 4, 5]) == [0, 1, 2, 3, 4, 5]
    assert not faces.images.decoder.rejects.reasons


def test_a_server_that_stays_silent_ends_the_run_with_a_sentence(server: Server) -> None:
    faces = load(server)
    server.failures = 10**6
    with pytest.raises(UnreachableError, match=r"127.0.0.1.*did not answer 3 times.*ckpt_path=last"):
        values(faces, [0, 1])
    assert not faces.images.decoder.rejects.reasons


def test_a_server_that_hangs_is_not_waited_for_without_end(server: Server) -> None:
    files = RemoteFiles([f"{server.url}/000000.tar"], waits=(), timeout=0.2)
    server.delay = 1.0
    with pytest.raises(UnreachableError, match="did not answer 1 times"):
        files.read(0, 0, 10)


def test_a_vanished_shard_is_said_at_once(server: Server) -> None:
    faces = load(server)
    (server.folder / "000001.tar").unlink()
    with pytest.raises(UnreachableError, match=r"000001\.tar is not there"):
        values(faces, [4])
    with pytest.raises(UnreachableError, match=r"000001\.tar is not there"):
        load(server)


def test_a_truncated_shard_is_refused(server: Server) -> None:
    shard = server.folder / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(DataError, match=r"000001\.tar is not a whole uncompressed tar"):
        load(server)


def test_a_shard_cut_during_the_run_is_a_reject(server: Server) -> None:
    faces = load(server)
    shard = server.folder / "000001.tar"
    shard.write_bytes(shard.read_bytes()[: faces.images.encoded.offsets[5] + 20])
    assert values(faces, [4, 5]) == [4, 0]
    assert [name for _, name in faces.images.decoder.rejects.reasons] == ["000001/p1_2.png"]


def test_a_server_without_ranges_is_named(server: Server) -> None:
    faces = load(server)
    server.ranges = False
    with pytest.raises(DataError, match="sends whole files"):
        values(faces, [0])


def test_nobody_at_the_address_is_a_data_error() -> None:
    with pytest.raises(UnreachableError, match="did not answer 3 times"):
        ShardPool("http://127.0.0.1:9/a.tar").load(Decoder(8, 1))


def test_an_unknown_protocol_names_the_override() -> None:
    with pytest.raises(ConfigError, match=r"unknown protocol.*unlabeled\.root="):
        ShardPool("nowhere://bucket/a.tar").load(Decoder(8, 1))


def test_a_missing_client_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(protocol: str) -> object:
        raise ImportError(f"Install {protocol}fs")

    monkeypatch.setattr(storage.fsspec, "filesystem", absent)
    with pytest.raises(ConfigError, match=r"pip install 'fer-ssl\[s3\]'"):
        ShardPool("s3://bucket/a.tar").load(Decoder(8, 1))


def test_a_vanished_local_shard_ends_the_run_too(server: Server) -> None:
    files = LocalFiles([str(server.folder / "gone.tar")])
    with pytest.raises(UnreachableError, match=r"gone\.tar cannot be opened.*ckpt_path=last"):
        files.read(0, 0, 5)


def test_more_files_than_may_be_open(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "OPEN_FILES", 1)
    files = LocalFiles([str(server.folder / f"{number:06d}.tar") for number in range(2)])
    heads = [files.read(number, 0, 4) for number in (0, 1, 0, 1)]
    assert heads == [b"p0_0", b"p1_0"] * 2


def test_ranges_in_a_name_count_up() -> None:
    assert expanded("a{8..10}") == ["a8", "a9", "a10"]
    assert expanded("{00..01}/{1..2}.tar") == ["00/1.tar", "00/2.tar", "01/1.tar", "01/2.tar"]
    assert expanded("plain{a}.tar") == ["plain{a}.tar"]
