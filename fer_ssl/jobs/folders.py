"""A folder for every job of a sweep: two that share one would write into each other's run."""

from collections.abc import Collection, Sequence
from pathlib import Path

from fer_ssl.errors import ConfigError
from fer_ssl.jobs.pool import Job


def require_own_folders(jobs: Sequence[Job], subdir: str, groups: Collection[str]) -> None:
    """Raise ConfigError for jobs that share a folder.

    `subdir` is hydra.sweep.subdir with its references, `groups` are the config groups a job chose from.
    """
    sharing: dict[Path, list[Job]] = {}
    for job in jobs:
        sharing.setdefault(job.folder, []).append(job)
    for folder, shared in sharing.items():
        if len(shared) > 1:
            keys = _differing(shared)
            told = f"differ in {' and '.join(keys)}, which hydra.sweep.subdir does not name" if keys else "are the same"
            mend = subdir + "".join(_named(key, groups) for key in keys)
            raise ConfigError(
                f"{len(shared)} jobs of the sweep would run in the one folder {folder}: they {told}; "
                + (f"set hydra.sweep.subdir='{mend}'" if keys else "list every value once")
            )


def _differing(jobs: Sequence[Job]) -> list[str]:
    """Return the keys that are not overridden alike in all jobs."""
    each = dict.fromkeys(override for job in jobs for override in job.overrides)
    differing = [override for override in each if not all(override in job.overrides for job in jobs)]
    return list(dict.fromkeys(override.lstrip("+~").partition("=")[0] for override in differing))


def _named(key: str, groups: Collection[str]) -> str:
    """Return what names the value of `key` in a folder."""
    if key not in groups:
        return f"_{key.rpartition('.')[2]}${{{key}}}"
    # no reference can hold the slash or the @ of a group
    return f"_${{hydra.runtime.choices.{key}}}" if key.isidentifier() else "_${hydra.job.num}"
