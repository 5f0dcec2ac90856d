"""A built encoder-decoder is a model of `transformers` from one sequence to another."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import composer
from tests.integrations.adapters import OLD_NAME, train

pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
START, EOS, PAD = 1, 7, 3
BART = ["dims.vocab_size=61", "dims.d_model=32", "dims.num_heads=4", "dims.num_layers=2",
        "dims.max_length=40"]  # fmt: skip


@pytest.fixture
def spec():
    return composer.load(ROOT / "specs/bart.yaml", overrides=BART)


@pytest.fixture
def wrapped(spec):
    from composer.integrations.huggingface import wrap

    model = composer.build(spec, seed=0)
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.1)
    keys = {"eos_token_id": EOS, "pad_token_id": PAD, "decoder_start_token_id": START}
    return wrap(model, spec, **keys).eval()


def _tokens(batch=2, length=6, seed=5):
    return torch.randint(8, 61, (batch, length), generator=torch.Generator().manual_seed(seed))


def _padded():
    mask = torch.ones(2, 6, dtype=torch.long)
    mask[1, 4:] = 0
    return mask


def test_what_is_saved_is_loaded(wrapped, tmp_path):
    from transformers import AutoModelForSeq2SeqLM

    from composer.integrations.huggingface import load

    wrapped.save_pretrained(tmp_path)
    given = {"input_ids": _tokens(), "decoder_input_ids": _tokens(seed=6)}
    for loaded in (AutoModelForSeq2SeqLM.from_pretrained(tmp_path), load(tmp_path)):
        assert type(loaded) is type(wrapped)
        assert torch.equal(loaded.eval()(**given).logits, wrapped(**given).logits)


@pytest.mark.parametrize("beams", [1, 3])
def test_generates_as_composer_does(wrapped, spec, beams):
    settings = {"max_new_tokens": 9, "num_beams": beams}
    mask = _padded()
    given = {"attention_mask": mask, "do_sample": False, **settings}
    theirs = wrapped.generate(_tokens(), **given)
    whole = wrapped.generate(_tokens(), use_cache=False, **given)
    ours = composer.generate(
        wrapped.model, spec, [[START]] * 2, eos=EOS, pad=PAD, source=_tokens(),
        source_mask=mask.bool(), **settings,
    )  # fmt: skip

    assert ours.cached
    assert theirs.tolist() == ours.tokens.tolist() == whole.tolist()


def test_samples_follow_the_scores(wrapped):
    given = {"max_new_tokens": 1, "do_sample": True, "top_k": 2, "eos_token_id": None}
    source = _tokens(1).expand(40, -1)
    torch.manual_seed(0)
    made = set(wrapped.generate(source, **given)[:, 1].tolist())
    with torch.no_grad():
        start = torch.tensor([[START]])
        scores = wrapped(input_ids=source[:1], decoder_input_ids=start).logits[0, -1]

    assert made == set(scores.topk(2).indices.tolist())


def test_generation_runs_each_token_once(wrapped):
    lengths = []
    wrapped.register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(kwargs["decoder_input_ids"].shape[1]),
        with_kwargs=True,
    )
    wrapped.generate(_tokens(), do_sample=False, max_new_tokens=4, eos_token_id=None)

    assert lengths == [1, 1, 1, 1]


def test_labels_are_read_one_step_later(wrapped):
    labels = _tokens(seed=6)
    labels[1, -2:] = -100
    read = torch.cat([torch.full((2, 1), START), labels[:, :-1]], dim=1)
    read[read == -100] = PAD
    made = wrapped(_tokens(), labels=labels)
    logits = wrapped(_tokens(), decoder_input_ids=read).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    torch.testing.assert_close(made.loss, expected)


def test_trainer_trains_and_what_it_saves_is_the_model(wrapped, tmp_path):
    pytest.importorskip("accelerate")
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    from composer.integrations.huggingface import load

    rows = [{"input_ids": a, "labels": a} for a in _tokens(8)]
    given = {"input_ids": _tokens(8), "labels": _tokens(8)}
    with torch.no_grad():
        before = float(wrapped(**given).loss)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=8, learning_rate=1e-2,
        report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
        predict_with_generate=True,
    )  # fmt: skip
    trainer = Seq2SeqTrainer(model=wrapped, args=arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    texts = trainer.predict(rows[:2], max_new_tokens=5, do_sample=False).predictions
    trainer.save_model(str(tmp_path / "model"))
    with torch.no_grad():
        after = wrapped.eval()(**given)
        again = load(tmp_path / "model").eval()(**given)

    assert float(after.loss) < 0.8 * before
    assert torch.equal(again.logits, after.logits)
    alone = wrapped.generate(_tokens(8)[:2], max_new_tokens=5, do_sample=False)
    assert texts[:, : alone.shape[1]].tolist() == alone.tolist()
    assert set(texts[:, alone.shape[1] :].flatten().tolist()) <= {PAD}


def test_batches_of_one_update_learn_what_one_batch_learns(wrapped, tmp_path):
    pytest.importorskip("accelerate")
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    labels = _tokens(8)
    labels[:4, 2:] = -100  # a mean of two means would weigh these more
    rows = [{"input_ids": a, "labels": b} for a, b in zip(_tokens(8), labels, strict=True)]
    for module in wrapped.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    made = []
    for batch, parts in ((8, 1), (4, 2)):
        model = copy.deepcopy(wrapped)
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=batch,
            gradient_accumulation_steps=parts, learning_rate=0.1, optim="sgd", report_to=[],
            use_cpu=True, save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        Seq2SeqTrainer(model=model, args=arguments, train_dataset=rows).train()
        made.append(torch.cat([p.detach().flatten() for p in model.parameters()]))

    assert not torch.equal(made[0], torch.cat([p.flatten() for p in wrapped.parameters()]))
    torch.testing.assert_close(made[0], made[1])


@pytest.mark.filterwarnings(OLD_NAME)
def test_adapters_train_and_merge(wrapped):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM")
    adapted = peft.get_peft_model(wrapped, config)
    given = {"input_ids": _tokens(8), "labels": _tokens(8)}
    trained, losses = train(adapted, given)
    adapted.eval()
    with torch.no_grad():
        logits = adapted(**given).logits
        merged = adapted.merge_and_unload()(**given).logits

    assert trained
    assert all("lora_" in name for name in trained)
    assert losses[-1] < 0.9 * losses[0]
    torch.testing.assert_close(merged, logits)


def test_a_source_that_is_no_text_is_refused():
    from composer.integrations.huggingface import wrap

    spec = composer.load(ROOT / "specs/patterns/image_captioning.yaml")
    with pytest.raises(ValueError, match="reads one source, this one '"):
        wrap(composer.build(spec), spec)
