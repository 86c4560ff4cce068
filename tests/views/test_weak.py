import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fer_ssl.errors import ConfigError, DataError
from fer_ssl.views.weak import Crop, WeakView, crop_faces


def faces(batch: int = 8, channels: int = 3, side: int = 48, seed: int = 0) -> Tensor:
    drawn = torch.randint(1, 256, (batch, channels, side, side), generator=torch.Generator().manual_seed(seed))
    return drawn.to(torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive_crop(image: Tensor, flip: bool, dx: int, dy: int) -> Tensor:
    source = image.flip(-1) if flip else image
    side = image.shape[-1]
    view = torch.zeros_like(image)
    for y in range(side):
        for x in range(side):
            if 0 <= y + dy < side and 0 <= x + dx < side:
                view[:, y, x] = source[:, y + dy, x + dx]
    return view


@given(
    channels=st.sampled_from([1, 3]),
    side=st.integers(2, 12),
    draws=st.lists(st.tuples(st.booleans(), st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_crop_is_the_naive_shift_of_each_sample(channels: int, side: int, draws: list[tuple[bool, int, int]]) -> None:
    images = faces(len(draws), channels, side)
    flip, dx, dy = (torch.tensor(column) for column in zip(*draws, strict=True))
    found = crop_faces(images, Crop(flip, dx, dy), padding=2)
    expected = [naive_crop(image, *draw) for image, draw in zip(images, draws, strict=True)]
    assert torch.equal(found, torch.stack(expected))


@pytest.mark.parametrize(("channels", "side"), [(1, 48), (3, 48), (3, 112)])
def test_view_keeps_shape_and_dtype_and_moves_by_at_most_the_padding(channels: int, side: int) -> None:
    images = torch.full((32, channels, side, side), 200, dtype=torch.uint8)
    view = WeakView(padding=4 / 48)(images, generator())
    assert view.shape == images.shape
    assert view.dtype == torch.uint8
    margin = round(side * 4 / 48)
    black = view == 0
    assert black.any()
    assert not black[:, :, margin:-margin, margin:-margin].any()


def test_shifts_and_flips_are_uniform() -> None:
    side, batch = 12, 4000
    images = torch.zeros(batch, 1, side, side, dtype=torch.uint8)
    images[:, 0, 5, 2] = 255
    row = WeakView(padding=1 / 12, flip=0.25)(images, generator()).flatten(1).argmax(1) // side
    assert set(row.tolist()) == {4, 5, 6}
    assert torch.bincount(row, minlength=7)[4:].div(batch).sub(1 / 3).abs().max() < 0.04
    column = WeakView(padding=0, flip=0.25)(images, generator()).flatten(1).argmax(1) % side
    assert set(column.tolist()) == {2, 9}
    assert (column == 9).float().mean().sub(0.25).abs() < 0.03


def test_no_padding_and_no_flip_is_the_identity() -> None:
    images = faces()
    assert torch.equal(WeakView(padding=0, flip=0)(images, generator()), images)
    assert torch.equal(WeakView(padding=0, flip=1)(images, generator()), images.flip(-1))


def test_slices_of_a_batch_see_the_views_of_the_whole() -> None:
    images, view = faces(10), WeakView()
    whole = view(images, generator())
    parts = [view(images[a:b], generator(), first=a, total=10) for a, b in ((0, 3), (3, 10))]
    assert torch.equal(torch.cat(parts), whole)


def test_views_of_a_large_batch_do_not_depend_on_how_it_is_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    images, view = faces(9), WeakView()
    whole = view(images, generator())
    monkeypatch.setattr("fer_ssl.views.rows.CACHED_VALUES", 2 * 3 * 48 * 48)
    assert torch.equal(view(images, generator()), whole)


def test_the_generator_alone_decides() -> None:
    images, view = faces(), WeakView()
    assert torch.equal(view(images, generator(3)), view(images, generator(3)))
    assert not torch.equal(view(images, generator(3)), view(images, generator(4)))
    stream = generator(3)
    assert not torch.equal(view(images, stream), view(images, stream))


def test_changing_one_face_leaves_the_views_of_the_others() -> None:
    images, view = faces(), WeakView()
    other = images.clone()
    other[2] = 0
    changed = (view(images, generator()) != view(other, generator())).flatten(1).any(1)
    assert changed.tolist() == [row == 2 for row in range(8)]


def test_a_slice_beyond_the_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"rows \[4, 12\) are not in a batch of 10"):
        WeakView()(faces(8), generator(), first=4, total=10)


@pytest.mark.parametrize("shape", [(2, 3, 48, 40), (2, 2, 48, 48), (3, 48, 48)])
def test_images_that_are_not_square_faces_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"fer_ssl source"):
        WeakView()(torch.zeros(shape, dtype=torch.uint8), generator())


def test_float_images_are_an_error() -> None:
    with pytest.raises(DataError, match="uint8"):
        WeakView()(torch.zeros(2, 3, 48, 48), generator())


@pytest.mark.parametrize("wrong", [{"padding": 1.0}, {"flip": 1.5}])
def test_impossible_settings_name_the_override(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"view\.weak\."):
        WeakView(**wrong)
