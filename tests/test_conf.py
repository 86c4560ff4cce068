"""conf/ mirrors the code: keys are parameters, constants are the signature's, every choice composes."""

import importlib
import inspect
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from running import composed

from fer_ssl.check import BESIDE, check
from fer_ssl.cli import CONF
from fer_ssl.data.provenance import FIELDS, to_provenance
from fer_ssl.errors import ConfigError

SETS = sorted(path.stem for path in (CONF / "set").glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
OURS = [path for path in sorted(CONF.rglob("*.yaml")) if "_target_: fer_ssl" in path.read_text()]


def nodes(config: Any) -> list[dict[str, Any]]:
    """Return every mapping with a `_target_`, at any depth."""
    if not isinstance(config, dict):
        return []
    found = [config] if "_target_" in config else []
    return found + [node for value in config.values() for node in nodes(value)]


def signature(target: str) -> dict[str, inspect.Parameter]:
    module, name = target.rsplit(".", 1)
    return dict(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(CONF)))
def test_keys_are_parameters_of_their_target(path: Path) -> None:
    found = nodes(OmegaConf.to_container(OmegaConf.load(path)))
    assert found
    for node in found:
        unknown = node.keys() - signature(node["_target_"]).keys() - {"_target_", "_partial_", "defaults"}
        unknown -= set(BESIDE.get(path.parent.name, ()))
        assert not unknown, f"{node['_target_']} has no {unknown}"


@pytest.mark.parametrize("group", ["threshold", "alignment", "loss", "target", "teacher", "memory", "mix", "refit"])
def test_every_constant_of_the_method_is_a_key(group: str) -> None:
    for path in sorted((CONF / group).glob("*.yaml")):
        choice = f"[{path.stem}]" if group == "loss" else path.stem
        found = nodes(OmegaConf.to_container(composed(f"{group}={choice}")[group]))
        assert found
        for node in found:
            parameters = signature(node["_target_"]).items()
            defaults = {name for name, each in parameters if each.default is not inspect.Parameter.empty}
            assert defaults <= node.keys(), f"{path.name} lacks {defaults - node.keys()}"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_passes_the_check(name: str) -> None:
    cfg = composed(f"+experiment={name}", "run_dir=.")
    check(cfg)
    assert cfg.name == name


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_the_same_alone_and_in_a_mixture(name: str) -> None:
    alone = composed(f"data={name}", "data.root=place")
    mixed = composed("data=mixed", f"+set@data.sets.x={name}")
    if "root" in mixed.data.sets.x:
        mixed.data.sets.x.root = "place"
    assert OmegaConf.to_container(mixed.data.sets.x.source, resolve=True) == OmegaConf.to_container(
        alone.data.source, resolve=True
    )


@pytest.mark.parametrize("name", SETS)
def test_a_set_tells_its_provenance_and_takes_what_the_user_knows(name: str) -> None:
    cfg = composed(f"data={name}", "data.provenance.licence=signed", "data.provenance.collected=2024")
    assert list(cfg.data.provenance) == FIELDS
    told = to_provenance(OmegaConf.to_container(cfg.data.provenance))  # type: ignore[arg-type]
    assert (told.licence, told.collected) == ("signed", "2024")


GRID = {
    "loss": ["[supervised]", "[supervised,pseudo_label]", "[supervised,infonce]", "[supervised,pseudo_label,infonce]"],
    "threshold": ["dtm", "fixed"],
    "teacher": ["ema", "student"],
    "sampler": ["balanced", "natural"],
}


@pytest.mark.parametrize("choices", list(product(*GRID.values())))
@pytest.mark.parametrize("experiment", ["dtm_infonce", "adacm"])
def test_an_ablation_ablates(experiment: str, choices: tuple[str, ...]) -> None:
    overrides = [f"{group}={choice}" for group, choice in zip(GRID, choices, strict=True)]
    cfg = composed(f"+experiment={experiment}", *overrides, "run_dir=.")
    check(cfg)
    assert cfg.threshold.keys() == composed(f"threshold={choices[1]}").threshold.keys()
    assert list(cfg.loss) == choices[0].strip("[]").split(",")
    assert cfg.teacher.source == choices[2]


@pytest.mark.parametrize("logger", ["csv", "csv,tensorboard", "csv,wandb", "csv,tensorboard,wandb"])
def test_loggers_are_a_list(logger: str) -> None:
    assert list(composed(f"logger=[{logger}]", "run_dir=.").logger) == logger.split(",")


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(HydraException, match=r"threshold\.betta"):
        composed("threshold.betta=1")


@pytest.mark.parametrize(("inner", "target"), [("freematch", "FreeMatchThreshold"), ("dtm_low", "DynamicThreshold")])
def test_the_threshold_that_starves_no_class_is_around_any_other(inner: str, target: str) -> None:
    config = composed("+experiment=dtm_quantile", f"threshold@threshold.inner={inner}", "run_dir=.")
    check(config)
    assert config.threshold.inner._target_ == f"fer_ssl.method.thresholds.{target}"
    assert config.threshold.share == 0.05


def test_the_table_of_groups_lists_every_choice() -> None:
    rows = (CONF.parent / "docs" / "configuration.md").read_text().splitlines()
    for group in (
        "data",
        "unlabeled",
        "view",
        "backbone",
        "head",
        "teacher",
        "threshold",
        "alignment",
        "loss",
        "experiment",
    ):
        row = next(row for row in rows if row.startswith((f"| `{group}`", f"| `+{group}`")))
        choices = {file.stem for file in (CONF / group).glob("*.yaml")} - {"base"}
        assert {choice for choice in choices if f"`{choice}`" not in row} == set(), group


def test_an_unknown_experiment_lists_the_known_ones() -> None:
    with pytest.raises(HydraException, match=r"(?s)Could not find 'experiment/nope'.*dtm_infonce"):
        composed("+experiment=nope")


def test_sets_of_a_mixture_may_lie_below_one_root() -> None:
    own = ["+set@data.sets.a=folder", "data.root=faces"]
    check(composed("data=mixed", *own, "data.sets.a.root=${data.root}/a", "run_dir=."))
    with pytest.raises(ConfigError, match=r"does not read data\.root=faces"):
        check(composed("data=mixed", *own, "data.sets.a.root=elsewhere", "run_dir=."))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["unlabeled=none"], r"'infonce' needs unlabeled faces; set unlabeled=same"),
        (["loss=[supervised]", "+loss.infonce.weight=1"], r"'infonce' .* not selected; set loss=.* ~loss\.infonce"),
        (["+experiment=best", "threshold=dtm"], r"threshold\.alignment is no setting .* ~threshold\.alignment or"),
        (["data.root=faces"], r"data=synthetic does not read data\.root=faces; set data=folder, fer2013"),
        (["data=mixed", "data.root=faces"], r"data=mixed does not read data\.root=faces; set data\.sets\.<name>"),
        (["unlabeled.root=faces"], r"unlabeled=same does not read unlabeled\.root=faces; set unlabeled=folder"),
        (["data=fer2013"], r"data=fer2013 needs the place of its files; set data\.root="),
        (["data=mixed", "+set@data.sets.a=rafdb"], r"set 'a' needs .* set data\.sets\.a\.root="),
        (["unlabeled=shards"], r"unlabeled=shards needs .* set unlabeled\.root="),
        (["unlabeled=mixed"], r"unlabeled=mixed needs .* set 'unlabeled\.pools=\[\{kind:folder"),
        (["~head"], r"loss=\[supervised, pseudo_label, infonce\] reads .* there is none; set head=linear"),
        (["loss=[identity]", "unlabeled=none"], r"'identity' needs unlabeled faces; set unlabeled=same"),
        (["loss=[supervised,graph]", "unlabeled=none"], r"'graph' needs unlabeled faces"),
        (["threshold.pool=heldout"], r"set data\.heldout_fraction="),
        (["alignment=estimated", "alignment.pool=heldout"], r"alignment\.pool=heldout .* set data\.heldout_fraction="),
        (
            ["loss=[supervised_class_balanced]"],
            r"supervised\.balance=0\.9999 .* set sampler=natural",
        ),
        (["loss=[abc,plain]"], r"abc makes up for rare classes.* set sampler=natural"),
        (["backbone.init=3"], r"backbone\.init=3 is no text; set backbone\.init="),
        (["+experiment=best", "sampler=natural"], r"turns balanced labels .* set sampler=balanced"),
        (["loss=[supervised_pool_adjusted]", "unlabeled=none"], r"'supervised' needs unlabeled faces"),
        (["memory=recent", "alignment=estimated"], r"alignment estimates .* set memory\.alignment=0"),
        (["+experiment=best", "memory=recent"], r"loss\.supervised estimates .* set memory\.alignment=0"),
        (["optim.lr=abc"], r"optim\.lr=abc is no number"),
        (["loss=[]"], r"no loss term is selected; set loss=\[supervised\] or more"),
        (["data.batch_eval=many"], r"data\.batch_eval=many is no whole number"),
        (
            ["data.labels_per_class=abc"],
            r"data\.labels_per_class=abc is no whole number; set data\.labels_per_cl",
        ),
        (["data.labels_per_class=10%"], r"data\.labels_per_class=10% is no whole number"),
        (["data.labels_per_class=2.5"], r"data\.labels_per_class=2\.5 is no whole number"),
        (["data.labels_per_class=0"], r"data\.labels_per_class=0 is nothing to train with; .* to 1 or more"),
        (["epoch_steps=null"], r"epoch_steps=null leaves out a number that training needs; set epoch_steps, or"),
        (["trainer.accumulate_grad_batches=null"], r"trainer\.accumulate_grad_batches=null leaves out a number"),
        (["trainer.max_steps=null"], r"trainer\.max_steps=null leaves out a number"),
        (["data.labels_per_class=-5"], r"data\.labels_per_class=-5 is nothing to train with"),
        (["data.val_fraction=half"], r"data\.val_fraction=half is no number"),
        (["epoch_steps=0"], r"epoch_steps=0 is nothing to train with; set epoch_steps to 1 or more"),
        (["batch.unlabeled=-4"], r"set batch\.unlabeled to 1 or more"),
        (["data.heldout_fraction=-0.5"], r"-0\.5 is no share of the labeled faces; set data\.heldout_fraction from 0"),
        (["data.val_fraction=1"], r"set data\.val_fraction from 0 to below 1"),
        (
            ["+threshold.bta=0.9"],
            r"threshold\.bta is no setting of DynamicThreshold; did you mean threshold\.beta\? Ot",
        ),
        (
            ["+trainer.epochs=3"],
            r"trainer\.epochs is no setting of Trainer; remove it by ~trainer\.epochs",
        ),
        (["+optim.optimizer.rho=1"], r"optim\.optimizer\.rho is no setting of AdamW; remove it"),
        (
            ["head._target_=my_faces.Head"],
            r"head\._target_=my_faces\.Head cannot be imported \(.*my_faces",
        ),
        (["trainer.accumulate_grad_batches=0"], r"set trainer\.accumulate_grad_batches to 1 or more"),
        (
            ["trainer.accumulate_grad_batches=4", "epoch_steps=10"],
            r"leaves 2 for the last step of the 10 batches of an epoch; set epoch_steps=12",
        ),
        (["trainer.accumulate_grad_batches=4", "epoch_steps=3"], r"leaves 3 .* set epoch_steps=4$"),
        (["optim.lr=-1"], r"optim\.lr=-1 makes no sense; set optim\.lr to 0 or more"),
        (["score=val"], r"score=val is no list; set score=\[val\]"),
        (["score=[]"], r"score=\[\] leaves nothing to be scored; set score=null"),
        (["teacher.decay=2"], r"teacher\.decay=2 makes no sense; set teacher\.decay from 0 to 1"),
        (["compile=fast"], r"compile=fast is no mode .* set compile=null or one of default"),
        (["+experiment=best", "trainer.max_steps=abc"], r"^trainer\.max_steps=abc is no whole number"),
        (["trainer.max_steps=0"], r"trainer\.max_steps=0 trains nothing"),
    ],
)
def test_parts_that_cannot_work_together_name_the_override(overrides: list[str], message: str) -> None:
    cfg: DictConfig = composed(*overrides, "run_dir=.")
    with pytest.raises(ConfigError, match=message):
        check(cfg)
