"""The space of a search: what is a choice, what a range, and what is a mistake."""

from typing import Any

import pytest
from hydra import initialize_config_dir

from fer_ssl.cli import CONF
from fer_ssl.errors import ConfigError
from fer_ssl.tuning.space import as_override, distributions, require_known

optuna = pytest.importorskip("optuna")
SPACES = sorted((CONF / "space").glob("*.yaml"))


def test_lists_are_choices_and_ends_are_ranges() -> None:
    found = distributions(
        {"optim.lr": {"low": 1e-4, "high": 0.1, "log": True}, "epoch_steps": {"low": 1, "high": 9, "step": 2}}
        | {"threshold": ["dtm", "fixed"]}
    )
    assert found == {
        "optim.lr": optuna.distributions.FloatDistribution(1e-4, 0.1, log=True),
        "epoch_steps": optuna.distributions.IntDistribution(1, 9, step=2),
        "threshold": optuna.distributions.CategoricalDistribution(["dtm", "fixed"]),
    }


@pytest.mark.parametrize("values", [3, [], {"low": 1}, {"low": 0, "high": 1, "base": 2}, {"low": 2.0, "high": 1.0}])
def test_anything_else_is_a_mistake(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"space\.optim\.lr=.* is no (choice or )?range"):
        distributions({"optim.lr": values})


def test_an_empty_space_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="nothing to search; set space="):
        distributions({})


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"optim.learning_rate": [0.1]}, r"space\.optim\.learning_rate cannot be set to 0\.1"),
        ({"threshold": ["dtm", "nope"]}, r"space\.threshold cannot be set to nope"),
        ({"loss.infonce.weight": {"low": 0.1, "high": 1.0}}, r"space\.loss\.infonce\.weight cannot be set to 0\.1"),
    ],
)
def test_unknown_keys_and_choices_are_named(space: dict[str, Any], told: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(ConfigError, match=told):
        require_known(space, ["+experiment=supervised"])


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (
            {"optim.lr": [0.1], "threshold.floor": {"low": 0.5, "high": 0.9}, "threshold": ["dtm", "fixed"]},
            r"space\.threshold=fixed and space\.threshold\.floor=0\.5 cannot be set together \(Could not override",
        ),
        (
            {"optim.lr": [0.1], "threshold": ["freematch", "dtm"], "threshold.floor": [0.5]},
            r"space\.threshold=freematch and space\.threshold\.floor=0\.5 cannot be set together",
        ),
        (
            {"loss.infonce.temperature": [0.1], "+ablation": ["full", "no_infonce"]},
            r"space\.\+ablation=no_infonce and space\.loss\.infonce\.temperature=0\.1 cannot be set together",
        ),
    ],
)
def test_choices_that_lack_another_key_of_the_space_are_named(space: dict[str, Any], told: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(ConfigError, match=told):
        require_known(space, ["+experiment=dtm_infonce"])


def test_a_key_may_be_of_a_choice_in_the_space() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        space = {"mix.alpha": [0.5, 1.0], "mix": ["mixup"]}
        require_known(space, ["+experiment=dtm_infonce"])
        with pytest.raises(ConfigError, match=r"space\.optim\.learning_rate cannot be set to 0\.1"):
            require_known(space | {"optim.learning_rate": [0.1]}, ["+experiment=dtm_infonce"])


def of_the_guide() -> str:
    text = (CONF.parent / "docs" / "ablations.md").read_text().partition("A space is a file of")[2]
    return text.partition("```yaml\n")[2].partition("```")[0]


@pytest.mark.parametrize("text", [*(path.read_text() for path in SPACES), of_the_guide()])
def test_every_space_of_ours_fits_the_recipe(text: str) -> None:
    import yaml

    space = yaml.safe_load(text)
    distributions(space)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        require_known(space, ["+experiment=dtm_infonce"])


def test_none_is_null_on_a_command_line() -> None:
    assert [as_override("a.b", value) for value in (None, 0.5, "[x,y]")] == ["a.b=null", "a.b=0.5", "a.b=[x,y]"]
