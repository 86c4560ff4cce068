"""Find leaks and duplicates: `python -m fer_ssl.audit data=<name> data.root=<dir> [unlabeled=... set@against=...]`."""

import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from fer_ssl.check import require_roots
from fer_ssl.cli import verb
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.values import require_values

if TYPE_CHECKING:
    from fer_ssl.data.auditing.audit import Audit, Sets

log = logging.getLogger(__name__)

FARTHEST = 12  # bits; more make nearly every face a candidate


def audit(cfg: DictConfig) -> dict[str, Any]:
    """Compare all splits of the sets, write what was found, and return the summary.

    Raises DataError for leaks where `strict` allows none.
    """
    _check(cfg)
    from fer_ssl.data.auditing.audit import audit as run
    from fer_ssl.data.auditing.audit import load_sets
    from fer_ssl.data.auditing.pairs import Search
    from fer_ssl.data.auditing.prints import Printer
    from fer_ssl.data.decode import Decoder
    from fer_ssl.parts import make

    source = make(cfg.data.source)
    pool = None if cfg.unlabeled.pool is None else make(cfg.unlabeled.pool)
    against = None if cfg.against is None else make(cfg.against.source)

    def load(decoder: Decoder) -> "Sets":
        return load_sets(source, pool, against, decoder)

    channels = cfg.data.channels or source.channels
    search = Search(cfg.near, cfg.mirrored, cfg.within, cfg.distance)
    found = run(load, Printer(cfg.image_size, channels, cfg.data.max_rejected), search)
    viewer = Decoder(cfg.image_size, channels, resident=False)
    _write(Path(cfg.run_dir), found, cfg.shown, lambda: load(viewer))
    _tell(found.summary, Path(cfg.run_dir), cfg.strict)
    return found.summary


def _check(cfg: DictConfig) -> None:
    require_roots(cfg)
    require_values(cfg)
    if isinstance(cfg.against, str):
        raise ConfigError(f"against={cfg.against} chooses no set; set set@against={cfg.against} against.root=<dir>")
    if cfg.against is not None and cfg.against.get("root", "") is None:
        raise ConfigError(f"against={cfg.against.name} needs the place of its files; set against.root=<dir>")
    if not 0 <= cfg.distance <= FARTHEST:
        raise ConfigError(f"distance={cfg.distance} is none of 0 to {FARTHEST}; set distance=4")
    if cfg.shown < 0:
        raise ConfigError(f"shown={cfg.shown} is less than no pair; set shown=24")


def _write(run_dir: Path, found: "Audit", shown: int, load: "Callable[[], Sets]") -> None:
    from fer_ssl.data.auditing.audit import pictures
    from fer_ssl.data.auditing.findings import excluded
    from fer_ssl.data.manifest import write_table
    from fer_ssl.reports.audit_page import galleries, write_audit
    from fer_ssl.results import write_json

    run_dir.mkdir(parents=True, exist_ok=True)
    pairs = found.pairs.to_pylist()
    write_table(run_dir / "pairs.parquet", found.pairs)
    write_json(run_dir / "audit.json", found.summary | {"pairs": pairs})
    write_json(run_dir / "exclude.json", excluded(found.pairs))
    (run_dir / "rejected.csv").unlink(missing_ok=True)  # of an earlier audit in the folder
    if len(found.rejects):
        found.rejects.write_csv(run_dir / "rejected.csv")
    chosen = galleries(pairs, shown)
    wanted: dict[str, set[str]] = defaultdict(set)
    for pair in (pair for gallery in chosen for pair in gallery.pairs):
        wanted[pair["split"]].add(pair["id"])
        wanted[pair["twin_split"]].add(pair["twin"])
    write_audit(run_dir / "audit.html", found.summary, chosen, pictures(load(), wanted) if wanted else {})


def _tell(summary: dict[str, Any], run_dir: Path, strict: bool) -> None:
    for each in summary["twins"]:
        log.info(
            "%(kind)s twins of %(split)s and %(twin_split)s: %(faces)d and %(twins)d faces, %(conflicts)d in conflict",
            each,
        )
    leaks = summary["leaks"]
    counts = [f"{count} faces of {split}" for split, count in leaks["faces"].items()]
    told = ", ".join([*counts, *[f"{leaks['subjects']} people"] * bool(leaks["subjects"])])
    page = run_dir / "audit.html"
    if strict and (told or leaks["held_out_twins"]):
        told = told or f"{leaks['held_out_twins']} pairs of held-out faces"
        raise DataError(f"{told} are on both sides of a split ({page}); data.exclude={run_dir / 'exclude.json'}")
    log.info("leaks: %s; see %s", told or "none", page)


main = verb("audit")(audit)

if __name__ == "__main__":
    main()
