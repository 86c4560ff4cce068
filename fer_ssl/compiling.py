"""torch.compile for what a step computes, in place: checkpoints do not know of it."""

from fer_ssl.module import SemiSupervised


def compile_parts(module: SemiSupervised, mode: str = "default", backend: str = "inductor") -> None:
    """Compile student, teacher average and views of `module`; `mode` is that of the networks.

    Modes other than `default` replay CUDA graphs; views, which are called several times in a step, do not.
    """
    for network in (module.model, module.teacher.average):
        network.compile(mode=mode, backend=backend)
    module.views.compile(backend=backend)
