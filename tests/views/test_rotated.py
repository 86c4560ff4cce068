import torch

from fer_ssl.views.rotated import RotatedView
from fer_ssl.views.weak import WeakView


def test_rows_are_turned_by_their_number_in_the_global_batch() -> None:
    faces = torch.randint(0, 256, (10, 3, 8, 8), dtype=torch.uint8)
    view = RotatedView(WeakView())
    plain = view.view(faces, torch.Generator().manual_seed(0))
    turned = view(faces, torch.Generator().manual_seed(0))
    for row in range(10):
        assert torch.equal(turned[row], plain[row].rot90(row % 4, (1, 2)))
    halves = [
        view(faces[first : first + 5], torch.Generator().manual_seed(0), first=first, total=10) for first in (0, 5)
    ]
    assert torch.equal(torch.cat(halves), turned)
