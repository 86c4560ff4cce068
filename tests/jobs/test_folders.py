"""Jobs that would share a folder are refused, with a folder's name that tells them apart."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fer_ssl.errors import ConfigError
from fer_ssl.jobs.folders import require_own_folders
from fer_ssl.jobs.pool import Job


def jobs(*overrides: Sequence[str], folder: str = "sweep/a") -> list[Job]:
    return [Job("a", [], each, Path(folder)) for each in overrides]


def test_jobs_with_folders_of_their_own_may_run() -> None:
    require_own_folders([*jobs(["seed=0"]), *jobs(["seed=1"], folder="sweep/b")], "${seed}", ())


@pytest.mark.parametrize(
    ("overrides", "keys", "subdir"),
    [
        (["optim.lr=1", "optim.lr=2"], "optim.lr", "${name}_lr${optim.lr}"),
        (["threshold=dtm", "threshold=fixed"], "threshold", "${name}_${hydra.runtime.choices.threshold}"),
        (["set@data=a", "set@data=b"], "set@data", "${name}_${hydra.job.num}"),
        (["+x=1 y=1", "+x=2 y=2"], "x and y", "${name}_x${x}_y${y}"),
    ],
)
def test_what_differs_is_named_and_mends_it(overrides: list[str], keys: str, subdir: str) -> None:
    shared = jobs(*(["seed=0", *each.split()] for each in overrides))
    with pytest.raises(ConfigError) as told:
        require_own_folders(shared, "${name}", ("threshold", "set@data"))
    assert str(told.value) == (
        f"2 jobs of the sweep would run in the one folder sweep/a: they differ in {keys}, which hydra.sweep.subdir "
        f"does not name; set hydra.sweep.subdir='{subdir}'"
    )


def test_all_that_share_a_folder_are_looked_at() -> None:
    shared = jobs(["a=0", "b=0"], ["a=0", "b=1"], ["a=1", "b=0"], ["a=1", "b=1"])
    with pytest.raises(ConfigError, match=r"4 jobs .* differ in a and b, "):
        require_own_folders(shared, "${name}", ())


def test_a_job_listed_twice_is_told() -> None:
    with pytest.raises(ConfigError, match="they are the same; list every value once"):
        require_own_folders(jobs(["seed=0"], ["seed=0"]), "${seed}", ())
