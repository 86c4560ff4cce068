"""Runs that torchrun starts: several nodes on the loopback, and one that loses a process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from running import TINY, trained
from test_ranks import LOOSE, weights

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
SGD = ("optim=sgd", "schedule=constant", "trainer.precision=32-true")


def torchrun(folder: Path, options: list[str], *overrides: str) -> subprocess.Popen[str]:
    """Start an agent of torchrun with two processes; the run directory is `folder`/run."""
    paths = os.pathsep.join(str(path) for path in (REPOSITORY, REPOSITORY / "tests"))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *options, "-m", "fer_ssl.train"]
    chosen = [*TINY, *SGD, "trainer=ddp_cpu", *overrides, "hydra.run.dir=run"]
    return subprocess.Popen([*command, *chosen], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ended(agent: subprocess.Popen[str]) -> str:
    _, errors = agent.communicate(timeout=300)
    assert agent.returncode == 0, errors
    return errors


def test_two_nodes_of_two_ranks_train_what_one_rank_does(tmp_path: Path) -> None:
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--local-addr=127.0.0.1"]
    options = ["--nnodes=2", "--rdzv-id=test", *meeting]
    agents = [torchrun(tmp_path, options, "trainer.num_nodes=2") for _ in range(2)]
    for agent in agents:
        ended(agent)
    trained(tmp_path / "one", *SGD)
    expected = weights(tmp_path / "one")
    for key, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, expected[key], **LOOSE, equal_nan=True, msg=key)
    assert len((tmp_path / "run" / "train.log").read_text().split("report: ")) == 2, "one rank speaks"
    assert not list((tmp_path / "run").glob("*process*"))


def test_a_run_that_loses_a_process_goes_on_by_itself(tmp_path: Path) -> None:
    length = ("trainer.max_steps=80", "epoch_steps=20", "callback.checkpoint.every_n_steps=10", "ckpt_path=auto")
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    ended(torchrun(tmp_path / "whole", ["--standalone"], *length))
    agent = torchrun(tmp_path / "broken", ["--standalone", "--max-restarts=1"], *length)
    checkpoint = tmp_path / "broken" / "run" / "checkpoints" / "last.ckpt"
    while not checkpoint.exists():
        time.sleep(0.05)
        assert agent.poll() is None, agent.stderr.read()
    processes = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    os.kill(int(processes[1]), signal.SIGKILL)
    errors = ended(agent)
    assert "SIGKILL" in errors or "-9" in errors
    state = weights(tmp_path / "broken" / "run")
    different = [
        key for key, value in weights(tmp_path / "whole" / "run").items()
        if not torch.equal(value.nan_to_num(), state[key].nan_to_num())
    ]  # fmt: skip
    assert not different
