"""Networks whose weights are spread over ranks, for backbones too large for one device beside their average."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

Network = TypeVar("Network", bound=nn.Module)
CONTAINERS = ("blocks", "stages", "layers")  # timm's names for the parts that follow one another


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Spread the parameters of `network` over the ranks of `mesh`, in place; its state keeps its names.

    Blocks of transformers and stages of convolutional networks are gathered one at a time, the rest together; what was
    gathered is given up after each pass, so that `parameters()` are the shards between passes. Every rank must run
    equally many passes. The two dimensions of `mesh` are machines, each with a copy, and the devices of one.
    """
    if mesh.size(0) == 1:
        mesh = mesh[mesh.mesh_dim_names[1]]  # type: ignore[index]
    network.to(memory_format=torch.contiguous_format)  # fully_shard knows no channels_last
    for name, container in list(network.named_modules()):
        if name.rpartition(".")[2] in CONTAINERS:
            for block in container.children():
                fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


class Skeleton(Generic[Network]):
    """The structure of a network without its weights, kept from before it is sharded."""

    def __init__(self, network: Network) -> None:
        self.empty = copy.deepcopy(network).to("meta")

    def filled(self, network: nn.Module, device: torch.device) -> Network:
        """Return a network on `device` with the gathered state of the sharded `network`; every rank must call it."""
        state = get_model_state_dict(network, options=StateDictOptions(full_state_dict=True))
        whole = copy.deepcopy(self.empty).to_empty(device=device)
        whole.load_state_dict(state)
        return whole


def own_shard(tensor: Tensor) -> Tensor:
    """Return the part of `tensor` that this rank holds, sharing its memory; a tensor that is not sharded is itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
