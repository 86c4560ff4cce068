"""Two gloo ranks: one that dies or diverges takes the other along, quickly and with a sentence."""

import time
from collections.abc import Callable
from pathlib import Path

import breaking
import pytest
import torch
from comparing import differences, metrics, state
from faulting import Started, start_ranks

from fer_ssl.checkpoints import read_checkpoint

OPTIONS = ("epoch_steps=4", "trainer.max_steps=8", "callback.checkpoint.every_n_steps=2", "ckpt_path=auto")
LIMIT = 60.0  # seconds


def ended(ranks: list[Started]) -> tuple[list[int], float]:
    """Return the exit statuses, and the seconds from the first end to the last."""
    while all(rank.process.is_alive() for rank in ranks):
        time.sleep(0.01)
    first = time.monotonic()
    return [rank.wait() for rank in ranks], time.monotonic() - first


def last(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["state_dict"]


@pytest.mark.parametrize("dead", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_dead_rank_is_named_and_the_other_ends(dead: int, tmp_path: Path, found: Callable[..., None]) -> None:
    ranks = start_ranks(tmp_path / "run", *OPTIONS, fault=(breaking.rank_zero_dies, breaking.rank_one_dies)[dead])
    statuses, seconds = ended(ranks)
    assert (statuses[dead], statuses[1 - dead]) == (-9, 2)
    assert seconds < LIMIT
    assert f"error: rank {dead} was killed, and the others cannot go on without it" in ranks[1 - dead].text
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 2
    found(f"rank {dead} of two gloo ranks killed", 1, "1", f"the other ends {seconds:.1f} s later and names it")


@pytest.mark.slow
def test_a_rank_that_dies_while_nobody_waits_for_it_is_noticed(tmp_path: Path, found: Callable[..., None]) -> None:
    ranks = start_ranks(tmp_path / "run", *OPTIONS, fault=breaking.rank_one_dies_and_zero_sleeps)
    statuses, seconds = ended(ranks)
    assert statuses == [1, -9]
    assert seconds < LIMIT
    assert "error: rank 1 was killed" in ranks[0].text
    found("rank 1 killed while rank 0 hangs elsewhere", 1, "1", f"rank 0 ends {seconds:.1f} s later, naming it")


@pytest.mark.slow
def test_loss_that_diverges_on_one_rank_ends_both(tmp_path: Path, found: Callable[..., None]) -> None:
    ranks = start_ranks(tmp_path / "run", *OPTIONS, fault=breaking.rank_one_diverges)
    statuses, seconds = ended(ranks)
    assert statuses == [2, 2]
    assert seconds < LIMIT
    assert all("error: loss term infonce became NaN or infinite" in rank.text for rank in ranks)
    assert all(value.isfinite().all() for name, value in last(tmp_path / "run").items() if "tally" not in name)
    found("NaN loss on one of two ranks", 1, "1", "both end with the sentence; the last good checkpoint is kept")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(
    before: int, after: int, tmp_path: Path, found: Callable[..., None]
) -> None:
    # no batch norm and no bf16, whose rounding depends on how a batch is shared out
    network = ("backbone=timm", "backbone.name=test_convnext", "image_size=32", "trainer.precision=32-true")
    own = ("+experiment=supervised", "optim=sgd", *network)
    options = (*OPTIONS, *own)
    for name, worlds in (("whole", (1, 1)), ("changed", (before, after))):
        for world, steps in zip(worlds, (4, 8), strict=True):
            part = (f"trainer.max_steps={steps}", "schedule=constant", *(["ckpt_path=last"] if steps == 8 else []))
            ranks = start_ranks(tmp_path / name, *options, *part, world=world)
            assert [rank.wait() for rank in ranks] == [0] * world, ranks[0].text
    whole, changed = last(tmp_path / "whole"), last(tmp_path / "changed")
    for name in (name for name in whole if not name.startswith("tally")):
        torch.testing.assert_close(changed[name], whole[name], rtol=1e-3, atol=1e-4, msg=name)
    found(f"resumed on {after} ranks after {before}", 1, "0", "the one-rank run's weights, to rounding")


@pytest.mark.slow
def test_two_ranks_resumed_are_two_unbroken(tmp_path: Path, found: Callable[..., None]) -> None:
    # dropout, which each rank draws by a generator of its own
    network = ("backbone=timm", "backbone.name=test_resnet", "backbone.drop_rate=0.5", "image_size=32")
    options = (*OPTIONS, *network, "optim=sgd", "schedule=constant")
    for name, stops in (("whole", (8,)), ("resumed", (4, 8))):
        for steps in stops:
            resumed = ["ckpt_path=last"] if steps != stops[0] else []
            ranks = start_ranks(tmp_path / name, *options, f"trainer.max_steps={steps}", *resumed)
            assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].text
    assert differences(*(state(tmp_path / name) for name in ("whole", "resumed"))) == []
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "resumed")
    found("two ranks stopped and resumed", 1, "0", "the unbroken run's weights, generators and scores, bit for bit")
