"""Greedy and beam search give the tokens that `generate` of `transformers` gives."""

from __future__ import annotations

import pytest
import torch

import composer
from tests.parity import test_zoo_decoders as decoders
from tests.parity import test_zoo_sequences as sequences
from tests.parity.zoo import SPECS, default_dtype

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # those of the other implementation
]

EOS, PAD, NEW = 7, 3, 14
WAYS = {
    "greedy": {},
    "ended": {"eos": EOS},
    "beams": {"num_beams": 4, "eos": EOS},
    "short": {"num_beams": 3, "eos": EOS, "length_penalty": -1.5, "early_stopping": True},
    "never": {"num_beams": 3, "eos": EOS, "length_penalty": 2.0, "early_stopping": "never"},
}


def _families(file, names):
    return [next(f for f in file.FAMILIES if str(f) == name) for name in names]


DECODERS = _families(decoders, ["gpt2", "llama", "mistral", "gemma2", "mamba"])
SEQUENCES = _families(sequences, ["t5", "bart"])


def _graph(family):
    return composer.graph(
        SPECS / f"{family.spec}.yaml", size=family.size, overrides=family.overrides()
    )


def _theirs(way, prompt_length):
    """The same settings in the other implementation's words."""
    names = {"eos": "eos_token_id"}
    given = {names.get(name, name): value for name, value in way.items()}
    return {
        "do_sample": False, "max_new_tokens": NEW, "min_length": 0, "pad_token_id": PAD,
        "eos_token_id": None, "forced_eos_token_id": None, "forced_bos_token_id": None,
        "no_repeat_ngram_size": 0, **given,
    }  # fmt: skip


def _assert_same(family, file, prompt, theirs_given, ours_given):
    with default_dtype(torch.float64), torch.no_grad():
        other = file.theirs(family).double()
        model, graph = file.ours(family, other).double(), _graph(family)
        for way in WAYS.values():
            settings = {**_theirs(way, prompt.shape[1]), **theirs_given}
            expected = other.generate(**settings)
            made = composer.generate(
                model, graph, prompt, cache=True, max_new_tokens=NEW, pad=PAD, **way, **ours_given
            )

            assert expected.tolist() == made.tokens.tolist(), way


@pytest.mark.parametrize("family", DECODERS, ids=str)
def test_decoders_generate_the_same(family):
    pytest.importorskip("transformers")
    prompt = torch.randint(8, decoders.VOCAB, (3, 6), generator=torch.Generator().manual_seed(4))
    given = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    _assert_same(family, decoders, prompt, given, {})


@pytest.mark.parametrize("family", SEQUENCES, ids=str)
def test_translators_generate_the_same(family):
    pytest.importorskip("transformers")
    source = torch.randint(8, sequences.VOCAB, (3, 9), generator=torch.Generator().manual_seed(4))
    mask = torch.ones_like(source)
    mask[2, 6:] = 0
    prompt = torch.full((3, 1), 2)
    given = {"input_ids": source, "attention_mask": mask, "decoder_start_token_id": 2}
    given["use_cache"] = False  # its cache has as many layers as the encoder
    _assert_same(family, sequences, prompt, given, {"source": source, "source_mask": mask.bool()})
