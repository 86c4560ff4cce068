"""Sums between two log lines."""

import pytest
import torch

from fer_ssl.errors import DivergedError
from fer_ssl.metrics.tally import Tally
from fer_ssl.types import Gate, Step

CLASSES = ("calm", "glad", "cross")


def step(pseudo_labels: list[int], keep: list[float]) -> Step:
    gate = Gate(torch.tensor(keep), torch.tensor([0.8, 0.9, 0.7]))
    return Step({}, {}, torch.tensor([0]), None, None, torch.tensor(pseudo_labels), None, gate, 0)


def test_rates_are_those_of_a_loop_over_faces() -> None:
    tally = Tally(("supervised", "infonce"), CLASSES)
    tally.add(torch.tensor([3.0, 1.0, 2.0]), step([0, 0, 1, 2], [1, 0, 1, 0]), torch.tensor([0, 0, 2, -1]))
    tally.add(torch.tensor([1.0, 0.5, 0.5]), step([0, 1, 1, 1], [1, 1, 1, 0]), torch.tensor([1, 1, 1, 1]))
    row = tally.flush()
    assert row["train/loss"] == 2.0
    assert row["train/supervised"] == 0.75
    assert row["pseudo/keep_rate"] == pytest.approx(5 / 8)
    assert row["pseudo/accuracy_all"] == pytest.approx(5 / 7)
    assert row["pseudo/accuracy"] == pytest.approx(3 / 5)
    assert row["pseudo/tau_mean"] == pytest.approx(0.8)
    assert (row["count/calm"], row["count/glad"], row["count/cross"]) == (3, 4, 1)
    assert (row["keep/calm"], row["keep/glad"], row["keep/cross"]) == pytest.approx((2 / 3, 3 / 4, 0))
    assert (row["right/calm"], row["right/glad"]) == pytest.approx((1 / 2, 2 / 3))
    assert "right/cross" not in row


def test_a_flush_starts_again_and_a_step_without_pool_logs_losses_alone() -> None:
    tally = Tally(("supervised",), CLASSES)
    tally.add(torch.tensor([3.0, 3.0]), step([0], [1]), torch.tensor([0]))
    tally.flush()
    bare = Step({}, {}, torch.tensor([0]), None, None, None, None, None, 0)
    tally.add(torch.tensor([1.0, 1.0]), bare, None)
    assert tally.flush() == {"train/loss": 1.0, "train/supervised": 1.0}


def test_the_sums_are_saved() -> None:
    tally, other = (Tally(("supervised",), CLASSES) for _ in range(2))
    tally.add(torch.tensor([3.0, 3.0]), step([0, 1], [1, 0]), torch.tensor([0, 0]))
    other.load_state_dict(tally.state_dict())
    assert other.flush() == tally.flush()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_broken_term_is_named(bad: float) -> None:
    tally = Tally(("supervised", "infonce"), CLASSES)
    tally.add(torch.tensor([bad, 1.0, bad]), step([0], [1]), torch.tensor([0]))
    with pytest.raises(DivergedError, match="loss term infonce became NaN or infinite"):
        tally.check_finite()
