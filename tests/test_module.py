"""The module as a whole: compiled it computes the same, under the same names."""

import pytest
import torch
from running import TINY, composed
from test_no_sync import SPACE, Standing, batch

from fer_ssl.build import build_module
from fer_ssl.module import SemiSupervised


def made() -> SemiSupervised:
    module = build_module(composed(*TINY, "run_dir=."), SPACE, pool_size=96).train()
    module._trainer = Standing()
    return module


def test_compiled_parts_keep_names_and_results() -> None:
    torch._dynamo.reset()
    plain, compiled = made(), made()
    compiled.compile_parts("default", backend="eager")
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    losses = [module.training_step(batch(), 0) for module in (plain, compiled)]
    for module, loss in zip((plain, compiled), losses, strict=True):
        loss.backward()
        module.teacher.update(module.model)
    assert torch.allclose(*losses, atol=1e-6)
    for ours, theirs in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert ours.grad is None or torch.allclose(ours.grad, theirs.grad, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_run_trains_and_resumes_uncompiled(tmp_path) -> None:
    from running import trained

    trained(tmp_path, "compile=default")
    trained(tmp_path, "trainer.max_steps=4", "ckpt_path=last")
