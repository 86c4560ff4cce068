"""The strategy of trainer=fsdp, whose checkpoints are those of whole weights."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

State = dict[str, Any]


class ShardedStrategy(ModelParallelStrategy):
    """Train sharded weights; save and load them whole, so that a run resumes with any trainer.

    Lightning's own numbers optimizer states by the parameters of the module, an optimizer by those of its groups.
    """

    lightning_restore_optimizer = True

    def optimizer_state(self, optimizer: Optimizer | LightningOptimizer) -> State:
        """Return the state as `optimizer` itself would number it, on the first rank; on others an empty one."""
        optimizer = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        named = get_optimizer_state_dict(self.model, optimizer, options=options)  # type: ignore[arg-type]
        return _renamed(named, {name: number for number, name in enumerate(self._names(optimizer))}) if named else {}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> State:
        """Read a checkpoint; only what a rank copies into its shards is read from disk."""
        checkpoint: State = torch.load(checkpoint_path, map_location="cpu", mmap=True, weights_only=True)
        return checkpoint

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, checkpoint["state_dict"], options=options)  # type: ignore[arg-type]

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        options = StateDictOptions(full_state_dict=True)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            named = _renamed(state, dict(enumerate(self._names(optimizer))))
            set_optimizer_state_dict(self.model, optimizer, named, options=options)  # type: ignore[arg-type]

    def _names(self, optimizer: Optimizer) -> list[str]:
        """Return the names of the parameters in an optimizer's own order."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}  # type: ignore[union-attr]
        return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def _renamed(state: State, keys: Mapping[Any, Any]) -> State:
    """Return an optimizer's state with other keys of its parameters."""
    groups = [{**group, "params": sorted(keys[old] for old in group["params"])} for group in state["param_groups"]]
    return {"state": {keys[old]: value for old, value in state["state"].items()}, "param_groups": groups}
