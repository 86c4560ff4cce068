"""Prepare faces: `python -m fer_ssl.prepare input=<dir of photos or videos> output=<dir>`."""

import logging
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer_ssl.cli import verb
from fer_ssl.errors import ConfigError

SHEET = "contact_sheet.html"
NAMED = {"label", "subject", "split"}  # what a pattern may read from a path
CHOICES = {"faces": ("largest", "all"), "crop": ("arcface", "padded")}


def prepare(cfg: DictConfig) -> dict[str, Any]:
    """Find, align, score, deduplicate and pack the faces of photos and videos; return what `summary.json` holds."""
    _check(cfg)
    from fer_ssl.data.preparing.detecting import find_weights, load_opencv
    from fer_ssl.data.preparing.pipeline import Job
    from fer_ssl.data.preparing.pipeline import prepare as run
    from fer_ssl.data.preparing.working import Rules
    from fer_ssl.data.provenance import to_provenance

    load_opencv()
    rules = Rules(cfg.faces, cfg.crop, cfg.min_face, cfg.min_sharpness, cfg.max_yaw, cfg.quality)
    summary = run(
        Job(
            input=Path(cfg.input),
            output=Path(cfg.output),
            weights=find_weights(cfg.detector.weights, cfg.detector.url, cfg.detector.sha256),
            max_side=cfg.detector.max_side,
            min_score=cfg.detector.min_score,
            rules=rules,
            provenance=to_provenance(OmegaConf.to_container(cfg.provenance)),  # type: ignore[arg-type]
            near_duplicates=cfg.near_duplicates,
            pattern=cfg.pattern,
            every_seconds=cfg.every_seconds,
            chunk=cfg.chunk,
            shard_size=cfg.shard_size,
            workers=cfg.workers,
        )
    )
    _show(Path(cfg.output), Path(cfg.input), cfg.shown, summary)
    log = logging.getLogger(__name__)
    log.info(
        "%(accepted)d faces of %(photos)d photos, %(rejected)d rejected (rejected.parquet); see %(sheet)s",
        summary | {"sheet": Path(cfg.output) / SHEET},
    )
    return summary


def _show(output: Path, photos: Path, shown: int, summary: dict[str, Any]) -> None:
    """Write the contact sheet, unless the output has it."""
    if (output / SHEET).exists():
        return
    from fer_ssl.data.preparing.samples import accepted_samples, rejected_samples
    from fer_ssl.reports.contact_sheet import write_sheet

    accepted, rejected = accepted_samples(output, shown), rejected_samples(output, photos, shown)
    write_sheet(output / SHEET, summary, accepted, rejected)


def _check(cfg: DictConfig) -> None:
    for key in ("input", "output"):
        if cfg[key] is None:
            raise ConfigError(f"there is no {key}; set {key}=<dir>")
    if not Path(cfg.input).is_dir():  # before weights are fetched for nothing
        raise ConfigError(f"there is no folder {cfg.input}; set input=<dir>")
    for key, known in CHOICES.items():
        if cfg[key] not in known:
            raise ConfigError(f"{key}={cfg[key]} is none of {', '.join(known)}; set {key}={known[0]}")
    for key in ("chunk", "shard_size", "shown", "workers"):
        if cfg[key] < 1:
            raise ConfigError(f"{key}={cfg[key]} is too few; set {key}=1 or more")
    _check_pattern(cfg.pattern)
    if cfg.every_seconds <= 0:
        raise ConfigError(f"every_seconds={cfg.every_seconds} is no time; set every_seconds=1")


def _check_pattern(pattern: str | None) -> None:
    """Raise ConfigError for a pattern that is none, or names what no face has: before faces are looked for."""
    try:
        groups = re.compile(pattern or "").groupindex.keys()
    except re.error as error:
        raise ConfigError(f"pattern={pattern} is no regular expression ({error}); set pattern to one") from None
    if unknown := groups - NAMED:
        raise ConfigError(f"pattern names the group {min(unknown)!r}; set pattern with groups label, subject or split")


main = verb("prepare")(prepare)

if __name__ == "__main__":
    main()
