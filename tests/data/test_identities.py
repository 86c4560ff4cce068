import numpy as np
import torch

from fer_ssl.data.identities import number_people


def test_people_are_numbered_as_they_come() -> None:
    numbers = number_people(np.array(["eve", "adam", "eve", "seth", "adam"]))
    assert torch.equal(numbers, torch.tensor([0, 1, 0, 2, 1]))


def test_a_pool_may_name_nobody() -> None:
    assert number_people(None) is None
