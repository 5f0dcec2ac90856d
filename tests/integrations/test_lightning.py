"""A built model is trained by Lightning, as any torch module is."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import composer
from composer.training import Settings, read_data

SPEC = """\
composer: 1
name: lm
inputs: {tokens: {kind: tokens, vocab_size: 256}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 1, attention: {num_heads: 2}}}
outputs: {logits: {from: decoder, head: lm}}
"""


def trained(data, folder, steps):
    """The model after so many steps of Lightning's."""
    lightning = pytest.importorskip("lightning")

    class Learner(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = composer.build(SPEC, seed=0)

        def training_step(self, batch, _):
            inputs, targets = batch
            return F.cross_entropy(self.model(**inputs).logits.flatten(0, 1), targets.flatten())

        def configure_optimizers(self):
            return torch.optim.AdamW(composer.param_groups(self.model, SPEC, 1e-2))

    learner = Learner()
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", devices=1, logger=False, default_root_dir=folder,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        gradient_clip_val=1.0,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data.train, 4, collate_fn=data.collate)
    trainer.fit(learner, loader)
    return learner.model


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch, about Lightning
def test_lightning_learns_what_a_loop_of_ones_own_learns(tmp_path):
    (tmp_path / "text.txt").write_text("one and two and three and four and " * 8)
    data = read_data(SPEC, tmp_path / "text.txt", settings=Settings(length=8))
    made = trained(data, tmp_path, steps=6)

    own = composer.build(SPEC, seed=0)
    optimizer = torch.optim.AdamW(composer.param_groups(own, SPEC, 1e-2))
    for first in range(0, 24, 4):
        inputs, targets = data.collate([data.train[n] for n in range(first, first + 4)])
        loss = F.cross_entropy(own(**inputs).logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(own.parameters(), 1.0)
        optimizer.step()

    for name, tensor in own.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], tensor)
