"""Runs that end early and go on: bit for bit, from the newest whole checkpoint, with their cost and their state."""

import csv
import re
import signal
from pathlib import Path

import pytest
import torch
from comparing import assert_same_weights, weights
from omegaconf import OmegaConf
from running import trained

from fer_ssl.checkpoints import read_checkpoint
from fer_ssl.errors import ConfigError
from fer_ssl.module import SemiSupervised
from fer_ssl.run import REQUEUE
from fer_ssl.types import Batch


class KilledError(Exception):
    """Stands for the end of the process."""


def kill(patch: pytest.MonkeyPatch, at: int) -> None:
    """Let training end at the batch of that position."""
    step = SemiSupervised.training_step

    def dying(self: SemiSupervised, batch: Batch, batch_idx: int) -> torch.Tensor:
        if batch.position == at:
            raise KilledError
        return step(self, batch, batch_idx)

    patch.setattr(SemiSupervised, "training_step", dying)


@pytest.mark.parametrize("at", [3, 4, 7])
def test_a_killed_run_resumes_bit_for_bit(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [
        "trainer.max_steps=8", "epoch_steps=4", "callback.checkpoint.every_n_steps=1", "backbone=timm",
        "backbone.name=test_resnet", "backbone.drop_rate=0.2",
        "threshold.floor=0.1", "threshold.init=0.1", "trainer.log_every_n_steps=3",
    ]  # fmt: skip
    trained(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        kill(patch, at)
        with pytest.raises(KilledError):
            trained(tmp_path / "broken", *options)
    torch.manual_seed(12345)
    trained(tmp_path / "broken", *options, "ckpt_path=last")
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")
    histories = [list(csv.DictReader((tmp_path / name / "history.csv").open())) for name in ("whole", "broken")]
    for row in (row for history in histories for row in history):
        row.pop("images_per_second")
        row.pop("data_wait")
    assert histories[0] == histories[1]


def test_the_cost_of_a_resumed_run_counts_what_it_took_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["trainer.max_steps=4", "callback.checkpoint.every_n_steps=1"]
    with monkeypatch.context() as patch:
        kill(patch, 3)
        with pytest.raises(KilledError):
            trained(tmp_path / "run", *options)
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["callbacks"]["Telemetry"]["seconds"] > 0
    checkpoint["callbacks"]["Telemetry"]["seconds"] = 1000.0
    torch.save(checkpoint, path)
    assert 1000 < trained(tmp_path / "run", *options, "ckpt_path=last")["train"]["seconds"] < 1900


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1])
def test_a_run_asked_to_leave_saves_itself_and_goes_on(
    sent: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["trainer.max_steps=6", "epoch_steps=4"]
    trained(tmp_path / "whole", *options)
    step = SemiSupervised.training_step

    def asked(self: SemiSupervised, batch: Batch, batch_idx: int) -> torch.Tensor:
        if batch.position == 2:
            signal.raise_signal(sent)
        return step(self, batch, batch_idx)

    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    with monkeypatch.context() as patch:
        patch.setattr(SemiSupervised, "training_step", asked)
        with pytest.raises(SystemExit) as left:
            trained(tmp_path / "stopped", *options)
    assert left.value.code == REQUEUE
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == handlers
    assert torch.load(tmp_path / "stopped" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    trained(tmp_path / "stopped", *options, "ckpt_path=auto")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_auto_passes_over_a_broken_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ["trainer.max_steps=6", "epoch_steps=4", "callback.checkpoint.every_n_steps=3"]
    trained(tmp_path, *options, "ckpt_path=auto")  # nothing to resume yet
    whole = weights(tmp_path)
    last = tmp_path / "checkpoints" / "last.ckpt"
    (tmp_path / "metrics.json").unlink()  # a finished run would be left as it is
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    last.write_bytes(content)
    trained(tmp_path, *options, "ckpt_path=auto")
    assert re.search(r"passed over: checkpoint \S+last\.ckpt cannot be read \(the checksum", caplog.text)
    assert all(torch.equal(value.nan_to_num(), whole[name].nan_to_num()) for name, value in weights(tmp_path).items())


@pytest.mark.parametrize("name", ["pretrain_moco", "pretrain_identity"])
def test_a_run_without_labels_resumes_with_the_state_of_its_term(name: str, tmp_path: Path) -> None:
    options = [f"+experiment={name}", "schedule=constant", "trainer.max_steps=4"]
    trained(tmp_path / "whole", *options)
    trained(tmp_path / "broken", *options, "trainer.max_steps=2")
    before = weights(tmp_path / "broken")
    trained(tmp_path / "broken", *options, "ckpt_path=last")
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")
    state = weights(tmp_path / "whole")
    if name == "pretrain_moco":
        assert int(state["terms.infonce.queue.pointer"]) == int(state["terms.infonce.queue.present"].sum()) == 4 * 8
    else:
        moved = (state["terms.identity.centers"] - before["terms.identity.centers"]).abs()
        assert moved.amax(1).min() > 0, "the optimizer sees every center"


@pytest.mark.parametrize("options", [["dash"], ["remixmatch"], ["comatch", "memory.size=16"]], ids=lambda each: each[0])
def test_a_peer_resumes_with_its_state(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [f"+experiment={options[0]}", *options[1:], "trainer.max_steps=4", "callback.checkpoint.every_n_steps=1"]
    trained(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        kill(patch, 3)
        with pytest.raises(KilledError):
            trained(tmp_path / "broken", *options)
    trained(tmp_path / "broken", *options, "ckpt_path=last")
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize(
    "options",
    [
        ["+experiment=darp", "alignment.memory=16", "alignment.every=1", "alignment.warmup=0.1"],
        ["+experiment=daso", "memory.warmup=0.0"],
    ],
    ids=lambda options: options[0],
)
def test_parts_against_imbalance_resume_bit_for_bit(options: list[str], tmp_path: Path) -> None:
    options = [*options, "schedule=constant", "trainer.max_steps=4"]
    trained(tmp_path / "whole", *options)
    trained(tmp_path / "broken", *options, "trainer.max_steps=2")
    trained(tmp_path / "broken", *options, "ckpt_path=last")
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")


def test_a_resumed_run_tells_what_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(tmp_path)
    trained(tmp_path, "ckpt_path=last", "trainer.max_steps=3")
    assert "another setting" not in caplog.text
    trained(tmp_path, "ckpt_path=last", "trainer.max_steps=4", "threshold.beta=0.9")
    assert "another setting than it began with: threshold.beta=0.97, now 0.9" in caplog.text


def test_a_run_from_before_a_setting_goes_on_with_what_it_did(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(tmp_path)
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["config"]["head"]["norm"]
    torch.save(checkpoint, path)
    trained(tmp_path, "ckpt_path=last", "trainer.max_steps=3")
    assert "another setting" not in caplog.text
    with pytest.raises(ConfigError, match=r"was trained with head\.norm=False, not True; set head\.norm=False"):
        trained(tmp_path, "ckpt_path=last", "trainer.max_steps=4", "head.norm=true")


def test_an_exchanged_part_is_told_by_its_target(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(tmp_path, "refit=logistic", "target=hard")
    results = trained(tmp_path, "ckpt_path=last", "target=sharpened")
    told = [record.getMessage() for record in caplog.records if "another setting" in record.getMessage()]
    assert [message.partition("with: ")[2] for message in told] == [
        "refit._target_=fer_ssl.refit.LogisticRegression, now fer_ssl.refit.AsTrained",
        "target._target_=fer_ssl.method.target.HardTarget, now fer_ssl.method.target.SoftTarget",
    ]
    assert results["train"]["images_per_second"] is None  # no step was left


@pytest.mark.parametrize(
    "change",
    [["loss.infonce.queue=64"], ["loss=[infonce]", "loss.infonce.queue=0"]],
    ids=["another size", "none"],
)
def test_a_run_resumed_with_another_state_is_refused(change: list[str], tmp_path: Path) -> None:
    options = ["+experiment=pretrain_moco", "trainer.max_steps=2"]
    trained(tmp_path, *options)
    with pytest.raises(
        ConfigError, match=r"terms\.infonce\.queue\.\w+ has the shape .* go on with the data and losses"
    ):
        trained(tmp_path, *options, *change, "ckpt_path=last", "trainer.max_steps=3")


@pytest.mark.parametrize("change", ["threshold.beta=0.9", "trainer.max_steps=4", "backbone.widths=[8,8,8,8,8,24]"])
def test_a_folder_with_a_run_of_other_settings_is_left_as_it_is(change: str, tmp_path: Path) -> None:
    trained(tmp_path, "ckpt_path=auto")
    before = {name: (tmp_path / name).read_bytes() for name in ("config.yaml", "metrics.json", "history.csv")}
    with pytest.raises(ConfigError, match=change.split("=")[0].replace(".", r"\.")):
        trained(tmp_path, "ckpt_path=auto", change)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_a_folder_from_before_a_part_existed_goes_on(tmp_path: Path) -> None:
    trained(tmp_path, "ckpt_path=auto")
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    saved = read_checkpoint(checkpoint)
    del saved["config"]["refit"]
    torch.save(saved, checkpoint)
    config = OmegaConf.load(tmp_path / "config.yaml")
    del config.refit
    OmegaConf.save(config, tmp_path / "config.yaml")
    written = (tmp_path / "metrics.json").stat().st_mtime_ns
    assert trained(tmp_path, "ckpt_path=auto")["train"]["steps"] == 2
    assert (tmp_path / "metrics.json").stat().st_mtime_ns == written, "it was finished"
    (tmp_path / "report.html").unlink()  # it was cut off
    with pytest.raises(ConfigError, match=r"refit\._target_=fer_ssl\.refit\.AsTrained, now .*LogisticRegression"):
        trained(tmp_path, "ckpt_path=auto", "refit=logistic")
    assert trained(tmp_path, "ckpt_path=auto")["train"]["steps"] == 2


def test_another_network_or_many_other_settings_are_told_in_short(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(ConfigError, match=r"another backbone, .*SmallConvNet; set backbone=<choice> as the run began"):
        trained(tmp_path, "ckpt_path=last", "backbone=timm", "backbone.name=test_resnet")
    changes = ["optim.lr=0.5", "threshold.beta=0.5", "threshold.gamma=2", "threshold.init=0.5"]
    with pytest.raises(ConfigError, match=r"other settings \(optim\.lr=[^;]*;[^;]*;[^;]*; and 2 more\)"):
        trained(tmp_path, "ckpt_path=auto", *changes)
