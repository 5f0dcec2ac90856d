"""What people ask of generation: ends, samples, prompts of several lengths, and mistakes."""

from __future__ import annotations

import copy

import pytest
import torch

import composer
from composer.generation.choosing import Sampling, probabilities
from tests.generation.models import SMALL, graph_of, model_of, sources_of, tokens_of

TINY = next(small for small in SMALL if small.path == "specs/patterns/tiny_lm.yaml")
TRANSLATOR = next(small for small in SMALL if small.path == "specs/patterns/encoder_decoder.yaml")
CAPTIONS = next(small for small in SMALL if small.path == "specs/patterns/image_captioning.yaml")


def _generate(prompt, small=TINY, **settings):
    return composer.generate(model_of(small), graph_of(small), prompt, **settings)


def test_prompts_of_several_lengths_are_as_if_alone():
    rows = [row.tolist() for row in tokens_of(TINY, 4, 6)]
    rows[1], rows[3] = rows[1][:3], rows[3][:3]
    together = _generate(rows, max_new_tokens=5, pad=9)

    assert together.lengths.tolist() == [11, 8, 11, 8]
    assert together.tokens[1, 8:].tolist() == [9, 9, 9]
    for row, made in zip(rows, together.lists(), strict=True):
        assert made == _generate([row], max_new_tokens=5).tokens[0].tolist()


def test_other_inputs_follow_their_prompts():
    sources = sources_of(TRANSLATOR)
    together = _generate([[1, 2], [3]], TRANSLATOR, max_new_tokens=4, **sources)
    for place, prompt in enumerate([[1, 2], [3]]):
        alone = {name: value[place : place + 1] for name, value in sources.items()}
        made = _generate([prompt], TRANSLATOR, max_new_tokens=4, **alone)
        assert together.lists()[place] == made.lists()[0]


def test_an_end_ends():
    free = _generate(tokens_of(TINY, 2, 4), max_new_tokens=10)
    end = free.tokens[0, 7].item()  # what the first says after three tokens
    made = _generate(tokens_of(TINY, 2, 4), max_new_tokens=10, eos=end, pad=0)
    first = free.tokens[0].tolist()
    stop = first.index(end, 4) + 1

    assert made.lengths[0] == stop
    assert made.tokens[0, :stop].tolist() == first[:stop]
    assert not made.tokens[0, stop:].any()


def test_a_seed_gives_one_sample():
    prompt = tokens_of(TINY, 2, 4)
    made = [_generate(prompt, max_new_tokens=12, seed=seed).lists() for seed in (1, 1, 2)]

    assert made[0] == made[1] != made[2]


def test_samples_follow_the_probabilities():
    """Of one prompt many times over, the first tokens are as frequent as the model says."""
    prompt = tokens_of(TINY, 1, 4)
    model = model_of(TINY)
    sampling = Sampling(temperature=8.0, top_k=6, top_p=0.9)
    with torch.no_grad():
        likely = probabilities(model(tokens=prompt).logits[:, -1], sampling)[0]
    made = _generate(
        prompt.expand(4000, -1), max_new_tokens=1, seed=0, temperature=8.0, top_k=6, top_p=0.9
    )
    found = made.tokens[:, -1].bincount(minlength=len(likely)) / 4000

    assert 1 < int((likely > 0).sum()) <= 6
    assert float((found - likely).abs().max()) < 0.03
    assert not found[likely == 0].any()


def test_top_p_keeps_the_fewest_that_reach_it():
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    assert probabilities(scores, Sampling(top_p=0.5)).gt(0).tolist() == [
        [True, False, False, False]
    ]
    assert probabilities(scores, Sampling(top_p=0.7)).gt(0).tolist() == [[True, True, False, False]]
    assert probabilities(scores, Sampling(top_k=3, top_p=1.0)).gt(0).sum() == 3
    torch.testing.assert_close(
        probabilities(scores, Sampling(temperature=0.5, top_k=2)),
        torch.tensor([[25 / 34, 9 / 34, 0.0, 0.0]]),
    )


def test_enough_beams_find_the_best_continuation():
    """With as many beams as there are tokens, two steps are searched whole."""
    spec = {
        "composer": 1,
        "name": "few",
        "inputs": {"tokens": {"kind": "tokens", "vocab_size": 7}},
        "decoders": {
            "decoder": {
                "from": "tokens", "d_model": 16, "num_layers": 1, "attention": {"num_heads": 2},
            }
        },
        "outputs": {"logits": {"from": "decoder", "head": "lm"}},
    }  # fmt: skip
    model = composer.build(spec, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        pairs = torch.cartesian_prod(torch.arange(7), torch.arange(7))
        tokens = torch.cat([torch.tensor([[1, 2]]).expand(49, -1), pairs], dim=1)
        each = model(tokens=tokens).logits.log_softmax(-1)[:, 1:-1].gather(2, pairs[:, :, None])
    made = composer.generate(model, spec, [[1, 2]], max_new_tokens=2, num_beams=7)
    totals = each.sum(dim=(1, 2))

    assert made.tokens[0].tolist() == tokens[totals.argmax()].tolist()
    torch.testing.assert_close(made.scores[0], totals.max() / 2)


def test_modes_are_left_as_they_were():
    model = copy.deepcopy(model_of(TINY))
    model.decoder.layers[0].eval()
    before = [module.training for module in model.modules()]
    composer.generate(model, graph_of(TINY), tokens_of(TINY, 1, 3), max_new_tokens=2)

    assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize(
    ("small", "settings", "message"),
    [
        (TINY, {"max_new_tokens": 0}, "max_new_tokens must be 1 or more"),
        (TINY, {"temperature": 0.0}, "temperature must be above 0"),
        (TINY, {"top_k": 0}, "top_k must be 1 or more"),
        (TINY, {"top_p": 1.5}, "top_p must be above 0 and at most 1"),
        (TINY, {"num_beams": 2, "seed": 1}, "beam search draws no samples"),
        (TINY, {"num_beams": 0}, "num_beams must be 1 or more"),
        (TINY, {"source": torch.zeros(1, 3)}, "no input 'source' beside the prompt"),
        (TINY, {"prompt": [[1], []]}, "each at least one token"),
        (TINY, {"prompt": [[256]]}, "token 256 is not in the vocabulary of 256"),
        (TINY, {"prompt": torch.tensor([1, 2])}, r"a prompt is \(batch, steps\)"),
        (TINY, {"output": "scores"}, "there is no output 'scores'"),
        (TRANSLATOR, {}, "the model also reads 'source'"),
        (TRANSLATOR, sources_of(TRANSLATOR), "'source' has 2 examples, the prompt 1"),
        (
            CAPTIONS,
            {"max_new_tokens": 32, "image": torch.zeros(1, 3, 64, 64)},
            "32 positions, and a prompt of 2 tokens with 32 new ones needs 33",
        ),
    ],
)
def test_what_cannot_be_generated_is_named(small, settings, message):
    given = {"prompt": [[1, 2]], "max_new_tokens": 3, **settings}
    with pytest.raises(ValueError, match=message):
        _generate(given.pop("prompt"), small, **given)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("specs/patterns/universal.yaml", r"no output \('scores'\) scores the next token"),
        ("specs/bert_pretraining.yaml", "scores the next token of an input whose later tokens"),
    ],
)
def test_what_predicts_no_next_token_is_refused(path, message):
    graph = composer.graph(path)
    with pytest.raises(ValueError, match=message):
        composer.generate(torch.nn.Module(), graph, [[1]], max_new_tokens=1)
