"""Figures of a page."""

import re

import numpy as np
import pytest

from fer_ssl.reports.figures import Curve, lines
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
