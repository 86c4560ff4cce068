import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.data.faces.shapes import arc, between, bump, ellipse, line, ramp, ripples


def plane(size: int = 200) -> tuple[torch.Tensor, torch.Tensor, float]:
    steps = ((torch.arange(size) + 0.5) / size * 2 - 1)[None]
    return steps[:, None, :], steps[:, :, None], 2 / size


@given(rx=st.floats(0.1, 0.9), ry=st.floats(0.1, 0.9))
@settings(max_examples=20, deadline=None)
def test_ellipse_covers_its_area(rx, ry):
    x, y, pixel = plane()
    area = ellipse(x, y, rx, ry, pixel).sum() * pixel**2
    assert area == pytest.approx(math.pi * rx * ry, rel=0.03)


@given(reach=st.floats(0.001, 0.2))
@settings(max_examples=20, deadline=None)
def test_a_line_keeps_its_ink_however_thin(reach):
    x, _, pixel = plane()
    for soft in (pixel, 4 * pixel):
        assert line(x, reach, soft).sum() * pixel == pytest.approx(2 * reach, rel=0.05)


def test_between_measures_the_covered_share():
    y = torch.tensor([-1.0, 0.0, 0.25, 0.5, 2.0])
    share = between(y, torch.tensor(0.0), torch.tensor(0.25), soft=0.5)
    torch.testing.assert_close(share, torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0]))


def test_between_of_crossed_bounds_is_empty():
    assert between(torch.zeros(3), torch.tensor(0.1), torch.tensor(-0.1), 0.5).sum() == 0


def test_profiles():
    torch.testing.assert_close(ramp(torch.tensor([-1.0, 0.0, 1.0]), 0.5), torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(ripples(torch.tensor([0.0, 0.25, 0.5, 1.5, -0.5])), torch.tensor([1.0, 0.5, 0, 0, 0]))
    torch.testing.assert_close(arc(torch.tensor([-1.0, 0.0, 2.0])), torch.tensor([0.0, 1.0, -3.0]))
    zero = torch.zeros(1)
    assert bump(zero, zero, 0.5, 0.5) == 1
    assert bump(zero + 0.5, zero, 0.5, 0.5) == 0
