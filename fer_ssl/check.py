"""Configurations that cannot work, told before anything is loaded."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.keys import meant_by
from fer_ssl.parts import parts
from fer_ssl.values import require_kind, require_range, require_values

COMPILE_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
NEED_POOL = {
    "pseudo_label", "infonce", "identity", "negative", "abc", "plain", "nearness", "feedback", "fairness",
    "mixed_unlabeled", "rotation", "graph", "instances",
}  # fmt: skip
POOL_ADJUSTED = "PoolAdjusted"  # the supervised loss that estimates the pool's class frequencies
COUNTS = (
    "image_size", "epoch_steps", "batch.labeled", "batch.unlabeled", "data.batch_eval", "data.labels_per_class",
    "trainer.log_every_n_steps", "trainer.accumulate_grad_batches", "trainer.num_nodes",
)  # fmt: skip
OPTIONAL = ("data.labels_per_class", "trainer.log_every_n_steps")  # null: all faces, as often as Lightning does
SHARES = ("data.val_fraction", "data.heldout_fraction")
RATES = ("optim.lr", "optim.weight_decay")
BESIDE = {"backbone": ("init",)}  # what the program reads of a part's keys: any network may start from weights
INSTEAD_OF = (("abc", "supervised"), ("abc", "pseudo_label"))


def check(cfg: DictConfig) -> None:
    """Raise ConfigError, naming the override to type, for parts that cannot work together."""
    _numbers_make_sense(cfg)
    _epochs_are_whole_steps(cfg)
    _something_is_scored(cfg)
    _terms_are_parts(cfg)
    _keys_are_settings(cfg)
    require_kind("backbone.init", OmegaConf.select(cfg, "backbone.init"), str)
    require_values(cfg)
    _pool_matches_terms(cfg)
    _head_exists(cfg)
    require_roots(cfg)
    _heldout_exists(cfg)
    _corrects_once(cfg)
    _estimates_are_of_the_pool(cfg)
    _terms_are_alone(cfg)
    if cfg.compile not in COMPILE_MODES:
        known = ", ".join(mode for mode in COMPILE_MODES if mode)
        raise ConfigError(f"compile={cfg.compile} is no mode of torch.compile; set compile=null or one of {known}")
    if cfg.trainer.max_steps < 1:
        raise ConfigError(f"trainer.max_steps={cfg.trainer.max_steps} trains nothing; set trainer.max_steps=1000")


def _numbers_make_sense(cfg: DictConfig) -> None:
    require_kind("trainer.max_steps", cfg.trainer.max_steps, int)  # before the parts that are told it
    for key, kind in {**dict.fromkeys(COUNTS, int), **dict.fromkeys((*SHARES, *RATES), float)}.items():
        require_kind(key, OmegaConf.select(cfg, key), kind)
    for key in RATES:
        require_range(key, OmegaConf.select(cfg, key))
    for key in (*COUNTS, "trainer.max_steps"):
        if OmegaConf.select(cfg, key) is None and key not in OPTIONAL:
            raise ConfigError(f"{key}=null leaves out a number that training needs; set {key}, or leave its default")
    for key in COUNTS:
        if (value := OmegaConf.select(cfg, key)) is not None and value < 1:
            raise ConfigError(f"{key}={value} is nothing to train with; set {key} to 1 or more")
    for key in SHARES:
        if not 0 <= (value := OmegaConf.select(cfg, key, default=0.0)) < 1:
            raise ConfigError(f"{key}={value} is no share of the labeled faces; set {key} from 0 to below 1")


def _epochs_are_whole_steps(cfg: DictConfig) -> None:
    batches = cfg.trainer.accumulate_grad_batches
    if rest := cfg.epoch_steps % batches:  # Lightning steps where an epoch ends, and still divides by all the batches
        raise ConfigError(
            f"trainer.accumulate_grad_batches={batches} leaves {rest} for the last step of the {cfg.epoch_steps} "
            f"batches of an epoch; set epoch_steps={cfg.epoch_steps + batches - rest}"
        )


def _something_is_scored(cfg: DictConfig) -> None:
    require_kind("score", cfg.score, list)
    if cfg.score is not None and not cfg.score:
        raise ConfigError("score=[] leaves nothing to be scored; set score=null, or splits such as score=[val]")


def _terms_are_parts(cfg: DictConfig) -> None:
    if not cfg.get("loss"):
        raise ConfigError("no loss term is selected; set loss=[supervised] or more")
    absent = [name for name, term in cfg.loss.items() if "_target_" not in term]
    if absent:
        raise ConfigError(
            f"loss term {absent[0]!r} has values but is not selected; set loss=[{','.join(map(str, cfg.loss))}] "
            f"or remove its values by ~loss.{absent[0]}"
        )


def _keys_are_settings(cfg: DictConfig) -> None:
    for place, part in parts(cfg):
        settings = _settings(place, part._target_)
        for key in map(str, part):
            if settings is not None and not key.startswith("_") and key not in settings:
                told = f"{place}.{key} is no setting of {part._target_.rpartition('.')[2]}"
                meant = meant_by(key, settings, f"{place}.")
                raise ConfigError(f"{told}; {meant}remove it by ~{place}.{key} or choose another {place}")


def _settings(place: str, target: str) -> Collection[str] | None:
    """Return the names of what a part takes, None where it takes any."""
    try:
        parameters = inspect.signature(get_object(target)).parameters
    except ImportError as error:
        cause = error.__cause__ or error
        raise ConfigError(f"{place}._target_={target} cannot be imported ({cause}); correct it or PYTHONPATH") from None
    except ValueError:  # of some builtin
        return None
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return None if takes_any else {*parameters, *BESIDE.get(place, ())}


def _pool_matches_terms(cfg: DictConfig) -> None:
    has_pool = cfg.unlabeled.pool is not None or cfg.unlabeled.from_source
    needs_pool = sorted(name for name in cfg.loss if name in NEED_POOL or _is(cfg.loss[name], POOL_ADJUSTED))
    if needs_pool and not has_pool:
        raise ConfigError(f"loss term {needs_pool[0]!r} needs unlabeled faces; set unlabeled=same or loss=[supervised]")


def _head_exists(cfg: DictConfig) -> None:
    if "head" not in cfg or cfg.head is None:
        terms = ", ".join(map(str, cfg.loss))
        raise ConfigError(f"loss=[{terms}] reads what a head makes of features, but there is none; set head=linear")


def require_roots(cfg: DictConfig) -> None:
    """Raise ConfigError for a set or pool without the place of its files, or with one that it does not read."""
    require_data_root(cfg)
    _require_pool_root(cfg)


def require_pool(cfg: DictConfig) -> None:
    """Raise ConfigError where no files of unlabeled faces are named."""
    _require_pool_root(cfg)
    if cfg.unlabeled.pool is None:
        raise ConfigError(f"unlabeled={cfg.unlabeled.name} names no faces; set unlabeled=folder unlabeled.root=<dir>")


def _require_pool_root(cfg: DictConfig) -> None:
    if cfg.unlabeled.pool is None and cfg.unlabeled.root is not None:
        raise ConfigError(
            f"unlabeled={cfg.unlabeled.name} does not read unlabeled.root={cfg.unlabeled.root}; set unlabeled=folder "
            "or another kind of pool"
        )
    if cfg.unlabeled.pool is not None and cfg.unlabeled.root is None:
        mixed = "'unlabeled.pools=[{kind:folder,root:<dir>},...]'"
        remedy = mixed if "pools" in cfg.unlabeled else "unlabeled.root=<dir>"
        raise ConfigError(f"unlabeled={cfg.unlabeled.name} needs the place of its files; set {remedy}")


def require_data_root(cfg: DictConfig) -> None:
    """Raise ConfigError for a set of labeled faces without the place of its files."""
    if not _reads_root(cfg.data):
        remedy = "data.sets.<name>.root=<dir>" if cfg.data.name == "mixed" else "data=folder, fer2013 or another set"
        raise ConfigError(f"data={cfg.data.name} does not read data.root={cfg.data.root}; set {remedy}")
    if cfg.data.name == "mixed":
        for name, part in cfg.data.sets.items():
            if "root" in part and part.root is None:
                raise ConfigError(f"set {name!r} needs the place of its files; set data.sets.{name}.root=<dir>")
    elif cfg.data.name != "synthetic" and cfg.data.root is None:
        raise ConfigError(f"data={cfg.data.name} needs the place of its files; set data.root=<dir>")


def _reads_root(data: DictConfig) -> bool:
    """Tell whether a set takes the root that `data` names, or a set of a mixture has its own below it."""
    if data.root is None or data.name not in ("synthetic", "mixed"):
        return True
    sets = data.get("sets", {}).values()
    return any(str(part.get("root", "")).startswith(str(data.root)) for part in sets)


def _heldout_exists(cfg: DictConfig) -> None:
    parts = {"threshold": cfg.threshold, "threshold.inner": cfg.threshold.get("inner", {}), "alignment": cfg.alignment}
    wanting = [name for name, part in parts.items() if part.get("pool") == "heldout"]
    if wanting and cfg.data.heldout_fraction <= 0:
        raise ConfigError(f"{wanting[0]}.pool=heldout needs faces to look at; set data.heldout_fraction=0.2")


def _corrects_once(cfg: DictConfig) -> None:
    supervised = cfg.loss.get("supervised", {})
    ways = [f"loss.supervised.{way}={supervised[way]}" for way in ("adjust", "balance") if supervised.get(way)]
    ways += ["loss term abc"] if "abc" in cfg.loss else []
    if _is(supervised, POOL_ADJUSTED) and _is(cfg.sampler, "natural"):
        raise ConfigError(
            "loss.supervised turns balanced labels to the pool's class frequencies, and sampler=natural deals them by "
            "their own; set sampler=balanced or loss=[supervised,...]"
        )
    if ways and cfg.sampler._target_.endswith("BalancedSampler"):
        raise ConfigError(
            f"{ways[0]} makes up for rare classes, which sampler=balanced already deals as often as others; "
            "set sampler=natural"
        )


def _estimates_are_of_the_pool(cfg: DictConfig) -> None:
    estimating = {
        "alignment": cfg.alignment.get("decay") is not None,
        "loss.supervised": _is(cfg.loss.get("supervised", {}), POOL_ADJUSTED),
    }
    if cfg.memory.get("alignment") and any(estimating.values()):
        name = next(name for name, estimates in estimating.items() if estimates)
        raise ConfigError(
            f"{name} estimates the pool's class frequencies from predictions that the memory has evened out; set "
            "memory.alignment=0"
        )


def _terms_are_alone(cfg: DictConfig) -> None:
    for term, other in INSTEAD_OF:
        if term in cfg.loss and other in cfg.loss:
            rest = ",".join(str(name) for name in cfg.loss if name != other)
            raise ConfigError(f"loss term {term!r} does the work of {other!r}; set loss=[{rest}]")


def _is(part: Mapping[str, Any], name: str) -> bool:
    """Tell whether a part is made by the class or function of this name."""
    return str(part.get("_target_", "")).rpartition(".")[2] == name
