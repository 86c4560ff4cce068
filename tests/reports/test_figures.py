"""Figures of the page of a run."""

import re

import numpy as np

from fer_ssl.reports.figures import Curve, shares
from fer_ssl.reports.run import Series


def test_the_shares_of_a_single_step_have_an_area() -> None:
    curves = [
        Curve(name, Series(np.array([20.0]), np.array([count])), color)
        for name, count, color in (("glad", 3.0, "#123456"), ("calm", 1.0, "#654321"))
    ]
    for color in ("#123456", "#654321"):
        area = re.search(rf'<path d="([^"]*)"[^>]*style="fill: {color}', str(shares(curves, "share (%)")))
        assert area is not None
        assert len(set(re.findall(r"[ML] ([\d.]+) ", area[1]))) > 1
