import pytest

from fer_ssl.errors import ConfigError
from fer_ssl.method.losses import PoolAdjusted, PseudoLabel
from fer_ssl.method.ramp import Fall, Ramp


def test_a_weight_rises_and_stays() -> None:
    term = PseudoLabel(weight=Ramp(peak=50.0, start=0.1, end=0.5, steps=100))
    weights = [term.weight_at(step) for step in (0, 10, 20, 30, 50, 99)]
    assert weights == pytest.approx([0, 0, 12.5, 25, 50, 50])
    assert PseudoLabel(weight=2.0).weight_at(0) == 2.0


def test_a_weight_falls_to_nothing() -> None:
    term = PseudoLabel(weight=Fall(peak=50.0, start=0.1, end=0.5, steps=100))
    weights = [term.weight_at(step) for step in (0, 10, 20, 30, 50, 99)]
    assert weights == pytest.approx([50, 50, 37.5, 25, 0, 0])


@pytest.mark.parametrize(("start", "end"), [(0.4, 0.4), (0.5, 0.1), (-0.1, 0.4), (0.0, 1.1)])
def test_a_weight_that_cannot_rise_is_refused(start: float, end: float) -> None:
    with pytest.raises(ConfigError, match=r"set its start and end, as loss\.<term>\.weight\.start"):
        Ramp(1.0, start, end, 100)


def test_what_is_no_number_is_named() -> None:
    with pytest.raises(ConfigError, match=r"weight of a loss is no number but 'high'; set loss\.<term>\.weight="):
        PseudoLabel(weight="high")
    with pytest.raises(ConfigError, match="strength of a loss is no number but None"):
        PoolAdjusted(3, strength=None)
