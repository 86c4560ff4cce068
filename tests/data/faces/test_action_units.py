import torch

from fer_ssl.data.faces.action_units import CHATTER, EXPRESSIONS, NAMES, SPACE, draw_action_units
from fer_ssl.data.faces.draws import Draws


def units_of(name: str, intensity: float = 1.0, chatter: float = 0.0, count: int = 4000) -> dict[int, torch.Tensor]:
    labels = torch.full((count,), SPACE.index(name))
    column = torch.full((count, 1, 1), intensity)
    return dict(draw_action_units(Draws(count, 0, ("test",)), labels, column, chatter))


def test_every_class_has_an_expression_of_known_units_in_the_order_of_the_space():
    assert tuple(EXPRESSIONS) == SPACE.classes
    assert SPACE.classes == ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
    assert {number for row in [*EXPRESSIONS.values(), CHATTER] for number in row} == set(NAMES)


def test_units_join_in_as_often_and_as_strongly_as_the_table_says():
    units = units_of("fear")
    for number in NAMES:
        chance, strength = EXPRESSIONS["fear"].get(number, (0.0, 0.0))
        active = units[number][units[number] > 0]
        assert abs(len(active) / 4000 - chance) < 0.03, number
        if chance:
            assert abs(active.mean() - strength) < 0.03, number


def test_a_neutral_face_is_still_unless_it_chatters():
    assert all(column.abs().max() == 0 for column in units_of("neutral").values())
    assert units_of("neutral", chatter=1.0)[25].max() > 0


def test_intensity_scales_the_expression():
    strong, weak = units_of("happiness", 1.0)[12], units_of("happiness", 0.5)[12]
    torch.testing.assert_close(weak, strong * 0.5, atol=0.11, rtol=0)  # strong ones may have met the ceiling of 1.2
    assert strong.max() <= 1.2


def test_confusable_expressions_share_units():
    shared = {pair: set(EXPRESSIONS[pair[0]]) & set(EXPRESSIONS[pair[1]]) for pair in
              [("fear", "surprise"), ("anger", "disgust"), ("sadness", "fear")]}  # fmt: skip
    assert shared["fear", "surprise"] >= {1, 2, 5, 25, 26}
    assert shared["anger", "disgust"] >= {4, 7, 9, 10}
    assert shared["sadness", "fear"] >= {1, 4}
