import pytest
import torch
from torch import Tensor

from fer_ssl.errors import ConfigError, DataError
from fer_ssl.views import StrongView, WeakView
from fer_ssl.views.strong import KNOWN, RANDAUGMENT, apply_plan, draw_operations
from fer_ssl.views.weak import crop_faces, draw_crop


def faces(batch: int = 8, channels: int = 3, side: int = 48) -> Tensor:
    coarse = torch.rand(batch, channels, 6, 6, generator=torch.Generator().manual_seed(7))
    smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
    return (smooth * 255).clamp(0, 255).to(torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(("channels", "side"), [(1, 48), (3, 48), (1, 112), (3, 112)])
def test_views_keep_shape_and_dtype_and_differ_between_samples(channels: int, side: int, interpolation: str) -> None:
    images = faces(1, channels, side).repeat(6, 1, 1, 1)
    views = StrongView(interpolation=interpolation)(images, generator())
    assert views.shape == images.shape
    assert views.dtype == torch.uint8
    assert len(views.flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("side", [48, 112])
def test_without_operations_and_cutout_the_strong_view_is_the_weak_view(side: int, interpolation: str) -> None:
    images, padding = faces(16, side=side), side // 12
    strong = StrongView(ops=0, operations=(), cutout=0, interpolation=interpolation)
    crop = draw_crop(torch.rand(16, 6, generator=generator())[:, :3], padding, flip=0.5)
    assert torch.equal(strong(images, generator()), crop_faces(images, crop, padding))


@pytest.mark.parametrize("operations", [RANDAUGMENT, KNOWN])
def test_each_operation_is_drawn_as_often(operations: tuple[str, ...]) -> None:
    uniform = torch.rand(20_000, 2 * len(operations), generator=generator())
    drawn = draw_operations(uniform, operations, ops=3)
    assert torch.equal(drawn.chosen.sum(1), torch.full((20_000,), 3))
    rates = torch.stack([drawn.on(name).float().mean() for name in operations])
    assert (rates - 3 / len(operations)).abs().max() < 0.015


def test_a_magnitude_is_neutral_where_its_operation_is_not_drawn() -> None:
    drawn = draw_operations(torch.rand(500, 2 * len(RANDAUGMENT), generator=generator()), RANDAUGMENT, ops=3)
    rotated = drawn.signed("rotate")
    assert (rotated[~drawn.on("rotate")] == 0).all()
    assert rotated[drawn.on("rotate")].abs().max() > 0.9
    assert not drawn.on("scale").any()
    assert (drawn.signed("scale") == 0).all()


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"identity"}))
def test_every_operation_changes_faces_and_identity_does_not(name: str) -> None:
    def view(*operations: str) -> Tensor:
        return StrongView(padding=0, flip=0, ops=1, operations=operations, cutout=0)(images, generator())

    images = faces(16) // 2 + 40
    assert (view(name) != images).flatten(1).any(1).sum() >= 8
    assert torch.equal(view("identity"), images)


def test_saturation_leaves_grey_faces() -> None:
    images = faces(channels=1)
    view = StrongView(padding=0, flip=0, ops=1, operations=("saturation",), cutout=0)
    assert torch.equal(view(images, generator()), images)


def test_grey_on_three_channels_and_on_one_get_the_same_view() -> None:
    grey, view = faces(16, channels=1), StrongView()
    one, three = view(grey, generator()), view(grey.expand(-1, 3, -1, -1).contiguous(), generator())
    assert (three.int() - one.int()).abs().max() <= 1


def test_slices_of_a_batch_see_the_views_of_the_whole() -> None:
    images, view = faces(10), StrongView()
    whole = view(images, generator())
    parts = [view(images[a:b], generator(), first=a, total=10) for a, b in ((0, 4), (4, 5), (5, 10))]
    assert torch.equal(torch.cat(parts), whole)


def test_views_of_a_large_batch_do_not_depend_on_how_it_is_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    images, view = faces(9), StrongView()
    whole = view(images, generator())
    monkeypatch.setattr("fer_ssl.views.rows.CACHED_VALUES", 2 * 3 * 48 * 48)
    assert torch.equal(view(images, generator()), whole)


def test_computing_every_row_gives_what_computing_the_active_rows_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    images, view = faces(64), StrongView()
    chosen_rows = view(images, generator())
    for module in ("tables", "filters"):
        monkeypatch.setattr(f"fer_ssl.views.{module}.active_rows", lambda active: slice(None))
    assert torch.equal(view(images, generator()), chosen_rows)


def test_a_plan_compiles_into_one_graph() -> None:
    images, view = faces(4), StrongView()
    plan = view.draw(images, generator())
    compiled = torch.compile(apply_plan, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, plan, "bilinear", 127), apply_plan(images, plan, "bilinear", 127))


def test_autocast_does_not_blur_the_sampling() -> None:
    images, view = faces(16, side=112), StrongView()
    exact = view(images, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(view(images, generator()), exact)


def test_the_generator_alone_decides() -> None:
    images, view = faces(), StrongView()
    assert torch.equal(view(images, generator(3)), view(images, generator(3)))
    assert not torch.equal(view(images, generator(3)), view(images, generator(4)))


def test_changing_one_face_leaves_the_views_of_the_others_and_the_input() -> None:
    images, view = faces(), StrongView()
    other = images.clone()
    other[2] = 255 - other[2]
    kept = images.clone()
    changed = (view(images, generator()) != view(other, generator())).flatten(1).any(1)
    assert changed.tolist() == [row == 2 for row in range(8)]
    assert torch.equal(images, kept)


@pytest.mark.parametrize(
    "wrong",
    [
        {"operations": ("blur",), "ops": 1},
        {"ops": 15},
        {"cutout": 1.5},
        {"fill": 256},
        {"posterize": 0},
        {"flip": -0.1},
        {"padding": 1.0},
        {"interpolation": "cubic"},
    ],
)
def test_impossible_settings_name_the_override(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"set view\.strong\.{next(iter(wrong))}"):
        StrongView(**wrong)  # type: ignore[arg-type]


def test_images_that_are_not_square_faces_are_an_error() -> None:
    with pytest.raises(DataError, match="square"):
        StrongView()(torch.zeros(2, 3, 48, 40, dtype=torch.uint8), generator())


@pytest.mark.gpu
def test_views_on_a_gpu_are_those_on_a_cpu() -> None:
    images, view = faces(64), StrongView()
    on_cpu = view(images, generator()).int()
    on_gpu = view(images.cuda(), generator()).cpu().int()
    assert ((on_cpu - on_gpu).abs() <= 1).float().mean() > 0.999
    assert torch.equal(WeakView()(images, generator()), WeakView()(images.cuda(), generator()).cpu())
