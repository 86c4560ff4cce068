"""torch.compile for what a step computes, in place: checkpoints do not know of it."""

from fer_ssl.module import SemiSupervised

GRAPH_MODES = ("reduce-overhead", "max-autotune")  # replay CUDA graphs


def compile_parts(module: SemiSupervised, mode: str, backend: str = "inductor") -> None:
    """Compile student, teacher average and views of `module`; `mode` is that of the networks.

    Views, which are called several times in a step, replay no CUDA graph in any mode.
    """
    for network in (module.model, module.teacher.average):
        network.compile(mode=mode, backend=backend)
    module.views.compile(backend=backend)
