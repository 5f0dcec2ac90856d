"""A built classifier of texts is a model of `transformers` for sequence classification."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import composer
from tests.integrations.adapters import OLD_NAME, train

pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = """\
composer: 1
name: moods
inputs: {tokens: {kind: tokens, vocab_size: 61, padding: mask}}
encoders:
  encoder: {from: tokens, d_model: 32, num_layers: 2, attention: {num_heads: 4}}
outputs: {mood: {from: encoder, head: {kind: classification, num_classes: 3}}}
"""


def _wrapped(spec=SPEC, **keys):
    from composer.integrations.huggingface import wrap

    return wrap(composer.build(spec, seed=0), spec, **keys).eval()


def _tokens(batch=4, length=6):
    return torch.randint(4, 61, (batch, length), generator=torch.Generator().manual_seed(5))


def _padded():
    mask = torch.ones(4, 6, dtype=torch.long)
    mask[1, 4:] = 0
    return mask


def test_what_is_saved_is_loaded(tmp_path):
    from transformers import AutoModelForSequenceClassification

    from composer.integrations.huggingface import load

    names = {0: "sad", 1: "so", 2: "glad"}
    wrapped = _wrapped(id2label=names, label2id={name: n for n, name in names.items()})
    wrapped.save_pretrained(tmp_path)
    expected = wrapped.model(tokens=_tokens(), tokens_mask=_padded().bool()).mood
    for loaded in (AutoModelForSequenceClassification.from_pretrained(tmp_path), load(tmp_path)):
        made = loaded.eval()(_tokens(), attention_mask=_padded())
        assert type(loaded) is type(wrapped)
        assert loaded.config.id2label == names
        assert torch.equal(made.logits, expected)


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (3, torch.tensor([0, 2, 1, 1]), F.cross_entropy),
        (3, torch.tensor([[0.0, 1, 1]] * 4), F.binary_cross_entropy_with_logits),
        (1, torch.tensor([0.5, -1, 2, 0]), lambda made, labels: F.mse_loss(made[:, 0], labels)),
    ],
    ids=["one", "several", "number"],
)
def test_labels_give_the_loss(classes, labels, expected):
    wrapped = _wrapped(SPEC.replace("num_classes: 3", f"num_classes: {classes}"))
    made = wrapped(_tokens(), labels=labels)

    torch.testing.assert_close(made.loss, expected(made.logits, labels))


def test_padding_changes_nothing_and_is_refused_where_it_would():
    learned = SPEC.replace(
        "d_model: 32,", "d_model: 32, embed: {position: {kind: learned, max_length: 9}},"
    )
    given = _padded()
    for spec in (SPEC, SPEC.replace("padding: mask", "padding: 3")):
        wrapped = _wrapped(spec)
        tokens = _tokens().masked_fill(given == 0, 3)
        alone = wrapped(tokens[1:2, :4]).logits
        made = wrapped(tokens, attention_mask=given).logits
        torch.testing.assert_close(made[1:2], alone)
    with pytest.raises(ValueError, match="write `padding: mask`"):
        wrapped(_tokens(), attention_mask=given)  # the tokens are none of padding
    with pytest.raises(ValueError, match="would move its positions"):
        _wrapped(learned)(_tokens(), attention_mask=given.flip(1))


def test_a_model_that_also_scores_classes_predicts_tokens_and_states_are_no_classes():
    from composer.integrations.huggingface import ComposerForCausalLM, wrap

    both = SPEC.replace("encoder", "decoder").replace(
        "outputs: {", "outputs: {logits: {from: decoder, head: lm}, "
    )
    states = SPEC.partition("outputs")[0] + (
        "modules: {first: {kind: pool, from: encoder, by: first}}\noutputs: {state: {from: first}}\n"
    )

    assert isinstance(_wrapped(both), ComposerForCausalLM)
    with pytest.raises(ValueError, match="scores the next token"):
        wrap(torch.nn.Identity(), states)


def test_labels_that_are_too_few_are_refused():
    with pytest.raises(ValueError, match="2 labels, but 'mood' scores 3"):
        _wrapped(id2label={0: "no", 1: "yes"})


def test_trainer_trains_and_what_it_saves_is_the_model(tmp_path):
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    from composer.integrations.huggingface import load

    wrapped = _wrapped()
    tokens, labels = _tokens(8), torch.arange(8) % 3
    rows = [{"input_ids": a, "labels": b} for a, b in zip(tokens, labels, strict=True)]
    with torch.no_grad():
        before = float(wrapped(tokens, labels=labels).loss)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=8, per_device_train_batch_size=8, learning_rate=1e-2,
        report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(model=wrapped, args=arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    trainer.save_model(str(tmp_path / "model"))
    again = load(tmp_path / "model").eval()

    assert after < 0.8 * before
    assert torch.equal(again(tokens).logits, wrapped.eval()(tokens).logits)


@pytest.mark.filterwarnings(OLD_NAME)
def test_adapters_train_with_a_new_head_and_merge():
    peft = pytest.importorskip("peft")
    wrapped = _wrapped()
    config = peft.LoraConfig(
        r=4, target_modules=["q", "v"], task_type="SEQ_CLS", modules_to_save=["mood"]
    )
    adapted = peft.get_peft_model(wrapped, config)
    given = {"input_ids": _tokens(), "labels": torch.tensor([0, 2, 1, 1])}
    trained, losses = train(adapted, given)
    with torch.no_grad():
        logits = adapted.eval()(**given).logits
        merged = adapted.merge_and_unload()(**given).logits

    assert all("lora_" in name or "mood" in name for name in trained)
    assert any("mood" in name for name in trained)
    assert losses[-1] < 0.5 * losses[0]
    torch.testing.assert_close(merged, logits)
