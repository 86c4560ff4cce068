"""What a run does to an earlier one in its folder: nothing before it takes a step, then it leaves none of its end."""

from pathlib import Path

import pytest
import yaml
from running import trained

from fer_ssl.claim import OF_THE_END
from fer_ssl.errors import ConfigError, FerError
from fer_ssl.module import SemiSupervised

Content = dict[Path, bytes]


def content(folder: Path) -> Content:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content]:
    """Return the folder of a finished run, and what is in it."""
    folder = tmp_path_factory.mktemp("done")
    trained(folder)
    return folder, content(folder)


@pytest.mark.parametrize(
    "overrides",
    [
        ["+experiment=dtm_infonce", "mix=mixup"],
        ["+experiment=remixmatch", "mix=none"],
        ["batch.labeled=4"],
        ["score=[tset]"],
        ["data.labels_per_class=0"],
        ["callback.checkpoint.best=true", "trainer.limit_val_batches=0"],
        ["ckpt_path=last", "+experiment=pretrain_moco"],
    ],
    ids=lambda overrides: overrides[-1],
)
def test_a_refused_run_leaves_the_finished_one_as_it_is(
    overrides: list[str], done: tuple[Path, Content], caplog: pytest.LogCaptureFixture
) -> None:
    folder, before = done
    with pytest.raises(FerError):
        trained(folder, *overrides)
    assert content(folder) == before
    assert "which this one replaces" not in caplog.text


def test_a_run_begun_anew_does_not_look_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path)
    of_the_end = [tmp_path / name for name in OF_THE_END if name != "rejected.csv"]
    assert all(path.exists() for path in of_the_end)

    def killed(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(SemiSupervised, "training_step", killed)
    with pytest.raises(InterruptedError):
        trained(tmp_path, "seed=1")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed"] == 1
    assert not any(path.exists() for path in of_the_end)


def test_a_run_that_is_refused_in_an_empty_folder_leaves_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        trained(tmp_path, "mix=mixup")
    assert [path.name for path in content(tmp_path)] == ["config.yaml"]
