"""Clocks that jump, checkpoints that rot, a second run in the same directory, a W&B server that does not serve."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import breaking
import pytest
from comparing import assert_same_run
from faulting import start
from running import trained

from fer_ssl.errors import ConfigError

OPTIONS = ("epoch_steps=3", "trainer.max_steps=8", "callback.checkpoint.every_n_steps=2", "ckpt_path=auto")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    trained(folder, *OPTIONS)
    return folder


def test_a_clock_that_jumps_changes_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Callable[..., None]
) -> None:
    now, jumps = time.time(), count()
    monkeypatch.setattr(time, "time", lambda: now + (86400 if next(jumps) % 2 else -86400))
    results = trained(tmp_path, *OPTIONS)
    assert 0 < results["train"]["seconds"] < 600
    assert results["train"]["images_per_second"] > 1
    monkeypatch.undo()
    assert_same_run(whole, tmp_path)
    found("the clock jumps by a day, back and forth", next(jumps), "0", "durations are those of a monotonic clock")


@pytest.mark.slow
def test_a_rotten_checkpoint_costs_what_came_after_the_one_before(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, found: Callable[..., None]
) -> None:
    trained(tmp_path, *OPTIONS, "schedule=constant")
    (tmp_path / "metrics.json").unlink()  # as if it had been killed before its end
    newest = tmp_path / "checkpoints" / "last.ckpt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 3] ^= 1
    newest.write_bytes(content)
    trained(tmp_path, *OPTIONS, "schedule=constant")
    assert re.search(r"passed over: checkpoint \S+last\.ckpt cannot be read \(the checksum of its record", caplog.text)
    trained(tmp_path / "whole", *OPTIONS, "schedule=constant")
    assert_same_run(tmp_path / "whole", tmp_path)
    found("one bit of the newest checkpoint flipped", 1, "1", "a warning names it, the one before is taken")


@pytest.mark.slow
def test_a_second_run_is_refused(tmp_path: Path, found: Callable[..., None]) -> None:
    first = start(tmp_path / "run", *OPTIONS, "trainer.max_steps=100000")
    first.wait_for(3)
    with pytest.raises(ConfigError, match=r"another run is writing to .* set hydra\.run\.dir="):
        trained(tmp_path / "run", *OPTIONS, "trainer.max_steps=100000")
    assert first.process.is_alive()
    first.process.kill()
    first.wait()
    trained(tmp_path / "run", *OPTIONS, "ckpt_path=null")
    found("two runs started in one directory", 1, "0", "the second is refused, the first goes on")


@contextmanager
def server(status: int | None) -> Iterator[str]:
    """Serve nothing but `status` on the loopback, or no answer at all; None: nobody listens."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if status == 0:
                over.wait(60)
            self.send_response(status or 503)
            self.end_headers()

        do_GET = do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    if status is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{free.getsockname()[1]}"
        return
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    over.set()
    serving.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status"), [("unreachable", None), ("failing (500)", 500), ("refusing (401)", 401), ("silent", 0)]
)
def test_a_wandb_server_that_does_not_serve_is_told(
    name: str, status: int | None, tmp_path: Path, found: Callable[..., None]
) -> None:
    with server(status) as address:
        options = ("logger=[csv,wandb]", "logger.wandb.mode=online", "logger.wandb.timeout=5")
        run = start(
            tmp_path / "run", *OPTIONS, *options, WANDB_BASE_URL=address, WANDB_API_KEY="a" * 40, WANDB_MODE="online"
        )
        began = time.monotonic()
        assert run.wait(90) == 2, run.text
        seconds = time.monotonic() - began
    assert "error: W&B cannot be reached or refuses" in run.text
    assert "set logger.wandb.mode=offline and upload later" in run.text
    assert "a" * 40 not in run.text
    found(f"W&B server {name}, logger.wandb.timeout=5", 1, "0", f"refused before training, after {seconds:.0f} s")


@pytest.mark.slow
def test_a_run_outlives_wandb(whole: Path, tmp_path: Path, found: Callable[..., None]) -> None:
    options = ("logger=[csv,wandb]", "logger.wandb.mode=offline")
    run = start(tmp_path / "run", *OPTIONS, *options, fault=breaking.wandb_dies)
    assert run.wait() == 0, run.text
    assert run.text.count("W&B failed (ConnectionResetError: Connection lost) and is told nothing more") == 1
    assert "Traceback" not in run.text
    assert_same_run(whole, tmp_path / "run")
    found("the process of W&B killed", 1, "0", "a warning; the run goes on without it, history.csv is whole")


def test_a_resumed_run_continues_its_wandb_run(tmp_path: Path) -> None:
    options = ("logger=[csv,wandb]", "logger.wandb.mode=offline", "epoch_steps=2")
    for resume in ("trainer.max_steps=1", "ckpt_path=last", "ckpt_path=null"):
        trained(tmp_path, *options, resume)
        time.sleep(1)  # W&B names its folders by the second
    names = [path.name.rpartition("-")[2] for path in sorted((tmp_path / "wandb").glob("offline-run-*"))]
    assert len(names) == 3
    assert names[0] == names[1] != names[2]
