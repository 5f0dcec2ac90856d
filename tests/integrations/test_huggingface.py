"""A built model is a model of `transformers` in all that people do with one."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

import composer
from tests.integrations.adapters import OLD_NAME

pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "specs/gpt2.yaml": [
        "dims.d_model=32", "dims.num_heads=4", "dims.vocab_size=61", "decoder.num_layers=2",
        "decoder.embed.position.max_length=40",
    ],
    "specs/mistral.yaml": [
        "dims.d_model=32", "dims.num_heads=4", "dims.num_kv_heads=2", "dims.head_dim=8",
        "dims.d_ff=44", "dims.vocab_size=61", "decoder.num_layers=2", "decoder.attention.window=5",
    ],
    "specs/mamba.yaml": ["dims.d_model=32", "dims.vocab_size=61", "decoder.num_layers=2"],
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
EOS, PAD = 7, 3


@pytest.fixture(params=SMALL)
def spec(request):
    return composer.load(ROOT / request.param, overrides=SMALL[request.param])


def _wrapped(spec):
    from composer.integrations.huggingface import wrap

    model = composer.build(spec, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=_random()) * 0.1)
    return wrap(model, spec, eos_token_id=EOS, pad_token_id=PAD).eval()


def _random():
    return torch.Generator().manual_seed(5)


def _tokens(batch=2, length=6):
    return torch.randint(8, 61, (batch, length), generator=_random())


@pytest.fixture
def wrapped(spec):
    return _wrapped(spec)


def _llama(*more):
    change = [each for each in SMALL["specs/mistral.yaml"] if "window" not in each]
    return composer.load(ROOT / "specs/llama.yaml", overrides=[*change, *more])


def test_what_is_saved_is_loaded(wrapped, tmp_path):
    from transformers import AutoModelForCausalLM

    wrapped.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    config = json.loads((tmp_path / "config.json").read_text())
    shared = {n for n, p in wrapped.named_parameters()}

    assert "auto_map" not in config
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert torch.equal(loaded(_tokens()).logits, wrapped(_tokens()).logits)
    assert {n for n, p in loaded.named_parameters()} == shared  # ties are ties again


@pytest.mark.parametrize("beams", [1, 3])
def test_generates_as_composer_does(wrapped, spec, beams):
    tokens = _tokens()
    settings = {"max_new_tokens": 12, "num_beams": beams}
    mask = torch.ones_like(tokens)
    theirs = wrapped.generate(tokens, attention_mask=mask, do_sample=False, **settings)
    ours = composer.generate(wrapped.model, spec, tokens, eos=EOS, pad=PAD, **settings)
    whole = wrapped.generate(
        tokens, attention_mask=mask, do_sample=False, use_cache=False, **settings
    )

    assert ours.cached
    assert theirs.tolist() == ours.tokens.tolist() == whole.tolist()


def test_samples_follow_the_scores(wrapped):
    given = {"max_new_tokens": 1, "do_sample": True, "top_k": 2, "eos_token_id": None}
    tokens = _tokens(1).expand(40, -1)
    torch.manual_seed(0)
    made = wrapped.generate(tokens, attention_mask=torch.ones_like(tokens), **given)
    with torch.no_grad():
        scores = wrapped(tokens[:1]).logits[0, -1]

    assert set(made[:, -1].tolist()) == set(scores.topk(2).indices.tolist())


def test_beams_that_are_sampled_are_texts_of_their_own(wrapped):
    tokens = _tokens()
    torch.manual_seed(0)
    made = wrapped.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=True, num_beams=3,
        num_return_sequences=3, max_new_tokens=6, eos_token_id=None,
    )  # fmt: skip
    texts = [tuple(row) for row in made.tolist()]

    assert made.shape == (6, 12)
    assert torch.equal(made[:, :6], tokens.repeat_interleave(3, dim=0))
    assert len({*texts[:3]}) == len({*texts[3:]}) == 3


def test_generation_runs_each_token_once(wrapped):
    lengths = []
    wrapped.register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    tokens = _tokens()
    wrapped.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=4,
        eos_token_id=None,
    )  # fmt: skip

    assert lengths == [6, 1, 1, 1]


@pytest.mark.parametrize("padding", ["mask", PAD])
def test_padding_before_a_text_changes_nothing(padding):
    wrapped = _wrapped(_llama(f"inputs.tokens.padding={padding}"))
    tokens, pad = _tokens(), torch.full((2, 3), PAD)
    padded = torch.cat([pad, tokens], dim=1)
    mask = (torch.arange(9) >= 3).long().expand(2, -1)
    settings = {"do_sample": False, "max_new_tokens": 8}
    alone = wrapped.generate(tokens, attention_mask=torch.ones_like(tokens), **settings)
    made = wrapped.generate(padded, attention_mask=mask, **settings)

    assert made[:, 3:].tolist() == alone.tolist()


def test_padding_that_would_move_positions_is_refused():
    wrapped = _wrapped(composer.load(ROOT / "specs/gpt2.yaml", overrides=SMALL["specs/gpt2.yaml"]))
    mask = torch.ones_like(_tokens())
    mask[0, 0] = 0
    with pytest.raises(ValueError, match="would move its positions"):
        wrapped(_tokens(), attention_mask=mask)


def test_only_what_predicts_tokens_is_wrapped():
    from composer.integrations.huggingface import wrap

    spec = composer.load(ROOT / "specs/vit.yaml", overrides=["encoder.num_layers=1"])
    with pytest.raises(ValueError, match="scores the next token"):
        wrap(torch.nn.Identity(), spec)


def test_labels_give_the_loss(wrapped):
    tokens = _tokens()
    labels = tokens.clone()
    labels[0, :3] = -100
    made = wrapped(tokens, labels=labels)
    expected = torch.nn.functional.cross_entropy(
        made.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    )

    torch.testing.assert_close(made.loss, expected)


def test_pipeline_continues_a_text(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, pipeline

    words = [f"w{n:02}" for n in range(61)]  # none begins another
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="w00"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = _wrapped(_llama())
    wrapped.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="w00", pad_token=f"w{PAD:02}"
    ).save_pretrained(tmp_path)
    made = pipeline("text-generation", model=str(tmp_path))(
        "w20 w30 w40", max_new_tokens=5, do_sample=False, eos_token_id=None, return_full_text=False
    )
    ours = composer.generate(wrapped.model, _llama(), [[20, 30, 40]], max_new_tokens=5)

    assert made[0]["generated_text"].split() == [words[n] for n in ours.lists()[0][3:]]


def test_trainer_trains(tmp_path):
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    wrapped = _wrapped(_llama())
    rows = [{"input_ids": row, "labels": row} for row in _tokens(8)]
    with torch.no_grad():
        before = wrapped(_tokens(8), labels=_tokens(8)).loss
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=5, per_device_train_batch_size=4, learning_rate=1e-2,
        report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=wrapped, args=arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    with torch.no_grad():
        after = wrapped.eval()(_tokens(8), labels=_tokens(8)).loss

    assert float(after) < 0.8 * float(before)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(after), rel=1e-4)


def test_trainer_goes_on_from_its_checkpoint(tmp_path):
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    rows = [{"input_ids": row, "labels": row} for row in _tokens(8)]
    made = []
    for name, checkpoint in (("whole", None), ("again", "whole/checkpoint-2")):
        wrapped = _wrapped(_llama())
        arguments = TrainingArguments(
            output_dir=str(tmp_path / name), max_steps=4, save_steps=2, learning_rate=1e-2,
            per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(model=wrapped, args=arguments, train_dataset=rows)
        trainer.train(resume_from_checkpoint=checkpoint and str(tmp_path / checkpoint))
        made.append(wrapped.eval()(_tokens()).logits)

    torch.testing.assert_close(made[0], made[1])


@pytest.mark.filterwarnings(OLD_NAME)
def test_adapters_train_and_generate():
    peft = pytest.importorskip("peft")
    spec = _llama()
    wrapped = _wrapped(spec)
    base = copy.deepcopy(wrapped)
    config = peft.LoraConfig(r=4, target_modules=["q", "v"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(wrapped, config)
    trained = {n for n, p in adapted.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if name in trained:
                parameter.normal_(std=0.2, generator=_random())
    adapted.eval()
    tokens = _tokens()
    given = {
        "input_ids": tokens, "attention_mask": torch.ones_like(tokens), "do_sample": False,
        "max_new_tokens": 8, "eos_token_id": None,
    }  # fmt: skip
    cached, whole = adapted.generate(**given), adapted.generate(use_cache=False, **given)
    with torch.no_grad():
        logits = adapted(input_ids=tokens).logits
        merged = adapted.merge_and_unload()(tokens).logits

    assert all("lora_" in name for name in trained)
    assert cached.tolist() == whole.tolist() != base.generate(**given).tolist()
    torch.testing.assert_close(merged, logits)
