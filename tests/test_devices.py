"""Processes that cannot be had are refused in a sentence, before anything is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running import composed

from fer_ssl.devices import check_devices
from fer_ssl.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=3"], r"batch\.labeled=32 does not divide over 3 ranks; set batch\.labeled=33"),
        (
            ["trainer.devices=2", "trainer.num_nodes=2", "batch.unlabeled=2"],
            r"divide over 4 ranks; set batch\.unlabeled=4",
        ),
        (["trainer.devices=0"], r"trainer\.devices=0 is no number of processes; set trainer\.devices=1 or more"),
        (["trainer.devices=two"], r"trainer\.devices=two is no number of processes"),
        (["trainer.strategy.process_group_backend=nccl"], r"nccl joins GPUs only; .*process_group_backend=gloo"),
    ],
)
def test_what_cpus_cannot_do_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_devices(composed("trainer=ddp_cpu", *overrides, "run_dir=."))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_strategy_by_name_is_refused(strategy: str) -> None:
    message = rf"trainer\.strategy={strategy} is none of ours; set trainer=ddp \(GPUs\), .* trainer=fsdp"
    with pytest.raises(ConfigError, match=message):
        check_devices(composed(f"trainer.strategy={strategy}", "run_dir=."))


def test_a_run_without_a_pool_may_have_any_pool_batch() -> None:
    overrides = ["unlabeled=none", "loss=[supervised]", "batch.labeled=33", "batch.unlabeled=1", "trainer.devices=3"]
    check_devices(composed("trainer=ddp_cpu", *overrides, "run_dir=."))


def test_more_processes_than_cores_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    check_devices(composed("trainer=ddp_cpu", "trainer.devices=64", "batch.labeled=64", "run_dir=."))
    assert "trainer.devices=64 processes share" in caplog.text


@pytest.mark.parametrize(
    ("there", "overrides", "message"),
    [
        (0, [], r"trainer\.accelerator=gpu needs a GPU and torch sees none; set trainer=default"),
        (2, ["trainer.devices=4"], r"trainer\.devices=4 is more than the 2 GPUs here; set trainer\.devices=2"),
        (2, ["trainer.devices=[0,1,2]"], r"is more than the 2 GPUs here; set trainer\.devices=2"),
        (3, [], r"batch\.labeled=32 does not divide over 3 ranks"),
    ],
)
def test_gpus_that_are_not_there_are_refused(
    there: int, overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(ConfigError, match=message):
        check_devices(composed("trainer=ddp", *overrides, "run_dir=."))


def test_torchrun_and_configuration_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_devices(composed("trainer=ddp_cpu", "trainer.num_nodes=2", "run_dir=."))
    with pytest.raises(ConfigError, match=r"started 4 .*; set trainer\.devices=2 trainer\.num_nodes=2"):
        check_devices(composed("trainer=ddp_cpu", "run_dir=."))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "must find again; set hydra.run.dir=outputs/<name> ckpt_path=auto"),
        (["hydra.run.dir=run"], "a restart of torchrun may hang; start it with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
    ],
)
def test_a_restart_of_torchrun_must_find_its_folder_and_not_hang(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    agent = {"RUN_ID": "1", "MAX_RESTARTS": "1", "USE_AGENT_STORE": "True"}
    environment = os.environ | {f"TORCHELASTIC_{name}": value for name, value in agent.items()}
    command = [sys.executable, "-m", "fer_ssl.train", *overrides]
    environment |= {"PYTHONPATH": str(REPOSITORY), "RANK": "0"}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert message in told.stderr
    assert "Traceback" not in told.stderr
