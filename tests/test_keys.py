"""A key that nothing reads is an error; one that another value refers to is not."""

import re
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, MissingConfigException
from running import composed

from fer_ssl.cli import CONF
from fer_ssl.errors import ConfigError
from fer_ssl.keys import READ, choice_instead, meant_instead, require_own_terms, require_read, require_taken

VERBS = ("train", "evaluate", "predict", "audit", "prepare", "pseudo_label", "self_train", "tune")
CHOICES = [
    f"{sign}{group}={file.stem}"
    for sign, groups in {"": READ, "+": ("experiment", "ablation", "sweep", "protocol")}.items()
    for group in groups
    for file in sorted((CONF / group).glob("*.yaml"))
    if file.stem != "base"
]


@pytest.mark.parametrize("choice", CHOICES)
def test_everything_that_can_be_chosen_is_read(choice: str) -> None:
    require_read(composed(choice), CONF, "train")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_reads_its_own_file(verb: str) -> None:
    cfg = composed(config=verb)
    require_read(cfg, CONF, verb)
    with pytest.raises(ConfigError, match="nothing reads colour; leave it out"):
        require_read(composed("+colour=red", config=verb), CONF, verb)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("+trheshold.tau=0.9", r"nothing reads trheshold; did you mean threshold\?"),
        ("++data.wokers=2", r"nothing reads data\.wokers; did you mean data\.workers\?"),
        ("+unlabeled.note=mine", r"nothing reads unlabeled\.note; leave it out"),
        ("+batch.labelled=3", r"nothing reads batch\.labelled; did you mean batch\.labeled\?"),
        ("+optim.weightdecay=0", r"nothing reads optim\.weightdecay; did you mean optim\.weight_decay\?"),
    ],
)
def test_a_misspelled_key_is_an_error(override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        require_read(composed(override), CONF, "train")


@pytest.mark.parametrize(
    ("verb", "part", "told"),
    [
        ("pseudo_label", "+unlabeled=folder", r"nothing reads unlabeled\.\w+;"),
        ("pseudo_label", "+data=folder", r"nothing reads data\.\w+;"),
        ("evaluate", "+unlabeled=folder", "nothing reads unlabeled;"),
        ("predict", "+data=folder", r"nothing reads data\.\w+;"),
        ("predict", "+data.root=faces", r"nothing reads data\.root;"),
        ("train", "+set=folder", "nothing reads set;"),
    ],
)
def test_a_part_that_refers_to_itself_alone_is_an_error(verb: str, part: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        require_read(composed(part, config=verb), CONF, verb)


@pytest.mark.parametrize(
    ("verb", "argument", "told"),
    [
        ("pseudo_label", "unlabeled=folder", r"pool of the checkpoint's run; .*fer_ssl\.predict"),
        ("pseudo_label", "+data=folder", r"where that moved, set data\.root=<dir>"),
        ("predict", "+data.root=faces", r"set unlabeled=folder unlabeled\.root="),
        ("predict", "data=folder", r"set unlabeled=folder unlabeled\.root="),
        ("evaluate", "+unlabeled=folder", r"set data=<name> data\.root="),
    ],
)
def test_a_part_that_a_verb_does_not_take_names_what_it_takes(verb: str, argument: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        require_taken(verb, ["ckpt_path=last.ckpt", argument])
    require_taken(verb, ["-m", "ckpt_path=last.ckpt", f"{argument.partition('=')[0]}.channels=1"])
    require_taken("train", [argument])


def test_the_root_of_a_set_to_compare_with_needs_the_set() -> None:
    with pytest.raises(
        ConfigError, match=r"against\.root=faces is of no set yet; set set@against=<name> against\.root="
    ):
        require_taken("audit", ["against=rafdb", "against.root=faces"])
    require_taken("audit", ["set@against=rafdb", "against.root=faces"])


@pytest.mark.parametrize(
    ("arguments", "absent", "meant"),
    [
        (["threshold.bta=0.9"], "threshold.bta", "threshold.beta"),
        (["+experiment=softmatch", "threshold.decya=1"], "threshold.decya", "threshold.decay"),
        (["thresold.beta=1"], "thresold.beta", "threshold.beta"),
        (["sed=1"], "sed", "seed"),
        (["wholly.different=1"], "wholly.different", None),
        (["threshold.tau=0.9"], "threshold.tau", None),  # of another threshold
        (["loss.pseudo_label.temperature=1"], "loss.pseudo_label.temperature", None),
        (["trainer.max_epochs=1"], "trainer.max_epochs", None),
        (["+experiment=dtm_infonse", "threshold.bta=0.9"], "threshold.bta", None),  # told after the other is mended
    ],
)
def test_the_key_that_was_meant_is_found(arguments: list[str], absent: str, meant: str | None) -> None:
    error = ConfigCompositionException(f"Could not override '{absent}'.\nTo append to your config use +{absent}=1")
    assert meant_instead(error, CONF, "train", arguments) == meant
    assert meant_instead(ValueError(str(error)), CONF, "train", arguments) is None


def test_the_refused_key_is_never_meant() -> None:
    error = ConfigCompositionException("Could not override 'selection.threshold.floor'.")
    arguments = ["selection.threshold.floor=0.5", "threshold@selection.threshold=fixed"]
    assert meant_instead(error, CONF, "pseudo_label", arguments) is None
    group = ConfigCompositionException("Could not override 'data'.")
    assert meant_instead(group, CONF, "predict", ["data=folder"]) is None


def test_the_key_of_a_part_of_the_users_own_is_found(tmp_path: Path) -> None:
    (tmp_path / "threshold").mkdir()
    (tmp_path / "threshold" / "mine.yaml").write_text("defaults: [dtm]\nsoftness: 1\n")
    error = ConfigCompositionException("Could not override 'threshold.softnes'.")
    arguments = ["threshold=mine", "threshold.softnes=2"]
    assert meant_instead(error, CONF, "train", arguments, tmp_path) == "threshold.softness"
    assert meant_instead(error, CONF, "train", arguments) is None


def test_a_key_that_another_value_refers_to_is_read() -> None:
    own = ("+low=0.5", "threshold.floor=${low}", "+data.mine.count=3", "data.workers=${.mine.count}")
    require_read(composed(*own), CONF, "train")
    with pytest.raises(ConfigError, match="nothing reads low"):
        require_read(composed(*own, "threshold.floor=${lower}", "+lower=1"), CONF, "train")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("loss=[supervised,pseudo_label,mean_teacher]", "pseudo_label and mean_teacher are two forms of one loss term"),
        ("loss=[infonce_all,infonce]", "infonce_all and infonce are two forms of one loss term, infonce; keep one"),
    ],
)
def test_two_forms_of_one_term_are_an_error(override: str, told: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(ConfigError, match=told):
        require_own_terms(GlobalHydra.instance().config_loader(), "train", [override])


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if "experiment=" in choice])
def test_every_experiment_has_one_form_of_each_term(choice: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        require_own_terms(GlobalHydra.instance().config_loader(), "train", [choice])


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("threshold=fixd", r"did you mean fixed\?$"),
        ("+experiment=dtm_infonse", r"did you mean dtm_infonce\?$"),
        ("loss=[supervized]", r"did you mean supervised\?$"),
        ("loss=[supervised,nope]", "loss has abc, fairness, .*supervised, "),  # Hydra does not list them
    ],
)
def test_the_choice_that_was_meant_is_found(choice: str, told: str) -> None:
    with pytest.raises(MissingConfigException) as raised:
        composed(choice)
    words = choice_instead(raised.value, [CONF])
    assert words is not None
    assert re.match(told, words)


def test_a_choice_like_none_is_left_to_the_list_of_hydra() -> None:
    with pytest.raises(MissingConfigException) as raised:
        composed("+protocol=nothing")
    assert choice_instead(raised.value, [CONF]) is None
    assert choice_instead(ValueError("Could not find 'protocol/nothing'"), [CONF]) is None


def test_a_choice_of_the_users_own_is_found(tmp_path: Path) -> None:
    (tmp_path / "threshold").mkdir()
    (tmp_path / "threshold" / "household.yaml").write_text("defaults: [dtm]\n")
    with pytest.raises(MissingConfigException) as raised:
        composed("threshold=houshold")
    assert choice_instead(raised.value, [CONF, tmp_path]) == "did you mean household?"
