"""Figures of a page."""

import re

import numpy as np
import pytest

from fer_ssl.reports.figures import Curve, lines, shares
from fer_ssl.reports.run import Series

MINUS = "\N{MINUS SIGN}"


def curve(*values: float) -> Curve:
    return Curve("kept", Series(np.arange(10.0, 10 + len(values)), np.array(values)), "#123456")


def ticks(svg: str) -> list[float]:
    """Return the numbers at the axes."""
    found = re.findall(rf">({MINUS}?[\d.]+)</text>", svg)
    return [float(number.replace(MINUS, "-")) for number in found]


@pytest.mark.parametrize("values", [(0.0,), (0.0, 0.0), (0.0, 5.0)])
def test_what_is_never_below_zero_has_no_room_below_it(values: tuple[float, ...]) -> None:
    assert min(ticks(lines([curve(*values)], "kept (%)"))) == 0


def test_what_is_below_zero_is_shown() -> None:
    assert min(ticks(lines([curve(-2.0, 3.0)], "difference"))) < 0


def test_the_shares_of_a_single_step_have_an_area() -> None:
    curves = [
        Curve(name, Series(np.array([20.0]), np.array([count])), color)
        for name, count, color in (("glad", 3.0, "#123456"), ("calm", 1.0, "#654321"))
    ]
    for color in ("#123456", "#654321"):
        area = re.search(rf'<path d="([^"]*)"[^>]*style="fill: {color}', str(shares(curves, "share (%)")))
        assert area is not None
        assert len(set(re.findall(r"[ML] ([\d.]+) ", area[1]))) > 1
