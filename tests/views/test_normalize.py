import pytest
import torch

from fer_ssl.views import Normalize, to_model_input


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_input_is_scaled_normalised_and_has_three_channels(channels: int, channels_last: bool) -> None:
    images = torch.randint(0, 256, (4, channels, 8, 8)).to(torch.uint8)
    found = Normalize(mean=0.4, std=0.2, channels_last=channels_last)(images)
    expected = ((images.double() / 255 - 0.4) / 0.2).expand(-1, 3, -1, -1).float()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)


def test_float_levels_are_read_like_whole_ones_and_are_not_changed() -> None:
    images = torch.randint(0, 256, (4, 3, 8, 8)).to(torch.uint8)
    levels = images.float()
    assert torch.equal(Normalize()(levels), Normalize()(images))
    assert torch.equal(levels, images.float())


def test_each_channel_may_have_its_own_statistics() -> None:
    mean, std = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.2, 0.25, 0.5])[:, None, None]
    images = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    found = to_model_input(images, mean, std, channels_last=False)
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([2.5, 2.4, 1.4]))


def test_per_channel_statistics_need_colour_or_repeat_grey() -> None:
    mean, std = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.full((3, 1, 1), 0.5)
    grey = torch.randint(0, 256, (2, 1, 4, 4)).to(torch.uint8)
    expected = to_model_input(grey.repeat(1, 3, 1, 1), mean, std, channels_last=False)
    torch.testing.assert_close(to_model_input(grey, mean, std, channels_last=False), expected)
