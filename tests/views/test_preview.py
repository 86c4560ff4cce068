import numpy as np
import pytest
import torch

from fer_ssl.views import StrongView, WeakView, preview


@pytest.mark.parametrize("channels", [1, 3])
def test_each_row_shows_a_face_and_its_views(channels: int) -> None:
    drawn = torch.randint(0, 256, (3, channels, 20, 20), generator=torch.Generator().manual_seed(0))
    images = drawn.to(torch.uint8)
    sheet = preview(images, WeakView(), StrongView(), torch.Generator().manual_seed(0), copies=2)
    cell = 20 + 2
    assert sheet.size == (5 * cell, 3 * cell)
    pixels = np.asarray(sheet)
    first_column = pixels[:, :20].reshape(3, cell, 20, 3)[:, :20]
    assert np.array_equal(first_column, images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy())
    weak = WeakView()(images, torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    assert np.array_equal(pixels[cell : cell + 20, cell : cell + 20], weak[1].permute(1, 2, 0).numpy())
