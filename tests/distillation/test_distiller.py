"""A student beside its teacher: gradients, what is matched, what it starts with."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import composer
from composer import distillation
from composer.diagnostics import SpecError
from composer.distillation.losses import kl, mse
from tests.distillation.specs import LM, written

BOTH = """\
  loss: {soft: {temperature: 4, weight: 0.9}, hard: {weight: 0.1}}
  match:
    - {teacher: encoder.layers.3, student: encoder.layers.1, project: true, weight: 0.5}
    - {teacher: encoder.layers.2.attention.weights, student: encoder.layers.0.attention.weights}
"""
TOKENS = torch.tensor([[5, 6, 7, 8], [9, 3, 0, 0]])
TARGETS = torch.tensor([2, 0])


def made(path, **options):
    return distillation.build(
        path, teacher=composer.build(path.parent / "teacher.yaml", seed=1), **options
    )


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_the_loss_is_the_weighted_sum_of_its_parts(tmp_path):
    distiller = made(written(tmp_path, BOTH, width=8))
    losses = distiller({"tokens": TOKENS}, TARGETS)
    ours = distiller.student(tokens=TOKENS)
    theirs = distiller.teacher(tokens=TOKENS)
    real = TOKENS != 0

    soft = 16 * F.kl_div(
        (ours.kind / 4).log_softmax(-1), (theirs.kind / 4).softmax(-1), reduction="batchmean"
    )
    state = mse(distiller.projections["match_0"](ours.match_0), theirs.match_0, real)
    attention = kl(ours.match_1, theirs.match_1, real[:, None].expand(2, 2, 4))
    expected = [soft, F.cross_entropy(ours.kind, TARGETS), state, attention]
    torch.testing.assert_close(list(losses.parts.values()), expected)
    weighted = 0.9 * expected[0] + 0.1 * expected[1] + 0.5 * expected[2] + expected[3]
    torch.testing.assert_close(losses.total, weighted)


@pytest.mark.parametrize("padding", ["0", "mask"])
def test_padded_steps_do_not_matter(tmp_path, padding):
    distiller = made(written(tmp_path, BOTH, width=8, padding=padding)).eval()
    inputs = [{"tokens": TOKENS}, {"tokens": F.pad(TOKENS, (0, 3))}]
    for each in inputs if padding == "mask" else []:
        each["tokens_mask"] = each["tokens"] != 0
    one, other = (distiller(each, TARGETS).parts for each in inputs)

    torch.testing.assert_close(one, other)


def test_a_copy_costs_nothing(tmp_path):
    alike = BOTH.replace(", project: true", "").replace(
        "student: encoder.layers.1,", "student: encoder.layers.3,"
    )
    alike = alike.replace("student: encoder.layers.0.", "student: encoder.layers.2.")
    path = written(tmp_path, alike, layers=4)
    distiller = distillation.build(path, teacher=composer.build(tmp_path / "teacher.yaml", seed=0))
    other = made(path)
    with torch.no_grad():
        parts, apart = (each({"tokens": TOKENS}, TARGETS).parts for each in (distiller, other))

    assert {name: float(part) for name, part in parts.items() if name != "hard"} == {
        "soft": pytest.approx(0, abs=1e-7),
        "match_0": 0,
        "match_1": pytest.approx(0, abs=1e-7),
    }
    assert all(float(part) > 1e-6 for part in apart.values())


def test_gradients_reach_the_student_and_projections_only(tmp_path):
    distiller = made(written(tmp_path, BOTH, width=8))
    distiller({"tokens": TOKENS}, TARGETS).total.backward()

    assert all(one.grad is None for one in distiller.teacher.parameters())
    assert not any(one.requires_grad for one in distiller.teacher.parameters())
    assert not distiller.teacher.training
    assert distiller.student.training
    missing = [n for n, one in distiller.student.named_parameters() if one.grad is None]
    assert missing == []
    assert all(bool(one.grad.any()) for one in distiller.projections.parameters())


def test_the_teacher_stays_as_it_is_while_the_student_learns(tmp_path):
    distiller = made(written(tmp_path, BOTH, width=8, dropout=0.1))
    before, start = state_of(distiller.teacher), distiller({"tokens": TOKENS}, TARGETS)
    trained = [one for one in distiller.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        distiller({"tokens": TOKENS}, TARGETS).total.backward()
        optimizer.step()

    assert same(before, state_of(distiller.teacher))
    end = distiller({"tokens": TOKENS}, TARGETS)
    assert end.parts["match_0"] < 0.5 * start.parts["match_0"]
    assert end.total < start.total


def test_a_projection_has_the_widths_of_both(tmp_path):
    distiller = made(written(tmp_path, BOTH, width=8))

    assert [(n, tuple(p.shape)) for n, p in distiller.projections.named_parameters()] == [
        ("match_0.weight", (16, 8)),
        ("match_0.bias", (16,)),
    ]


def test_the_student_alone_is_the_one_of_the_spec(tmp_path):
    path = written(tmp_path, BOTH, width=8)
    distiller = made(path, seed=3)
    alone = composer.build(path, seed=3)

    assert same(state_of(alone), state_of(distiller.plain()))
    assert distiller.plain()(tokens=TOKENS)._fields == ("kind",)
    assert alone.state_dict().keys() == distiller.student.state_dict().keys()


def test_nothing_of_a_teacher_is_in_the_source(tmp_path):
    path = written(tmp_path, BOTH)
    bare = tmp_path / "bare.yaml"
    bare.write_text(path.read_text().partition("distill:")[0])

    assert composer.source(path) == composer.source(bare)


def test_unlabelled_examples_learn_from_the_teacher_alone(tmp_path):
    distiller = made(written(tmp_path, "  loss: {soft: {}, hard: {}}\n"))
    losses = distiller({"tokens": TOKENS})
    none = distiller({"tokens": TOKENS}, torch.full((2,), -100))
    some = distiller({"tokens": TOKENS}, torch.tensor([2, -100]))

    assert losses.parts.keys() == {"soft"}
    assert "hard" in none.parts
    assert float(none.total.detach()) == float(losses.total.detach())
    assert float(some.parts["soft"].detach()) == float(losses.parts["soft"].detach())


def test_steps_without_a_target_are_left_out_of_an_example_that_has_some(tmp_path):
    distiller = made(written(tmp_path, "  loss: {soft: {}}\n", LM))
    targets = torch.tensor([[1, -100, 2], [-100, -100, -100]])

    rows = distiller.rows({"tokens": TOKENS[:, :3]}, targets)
    assert rows.tolist() == [[True, False, True], [True, True, True]]


PAIRS = """\
composer: 1
name: {name}
defaults: {{d_model: {width}, num_layers: {layers}, attention: {{num_heads: 2}}, dropout: {dropout}}}
inputs:
  source: {{kind: tokens, vocab_size: 256, padding: mask}}
  target: {{kind: tokens, vocab_size: 256}}
encoders: {{encoder: {{from: source}}}}
decoders: {{decoder: {{from: target}}}}
connections: [{{cross: {{from: encoder, to: decoder}}}}]
outputs: {{logits: {{from: decoder, head: lm}}}}
"""


def test_steps_beyond_the_end_of_a_target_do_not_matter(tmp_path):
    matches = """\
  loss: {soft: {}, hard: {}}
  match:
    - {teacher: decoder.layers.3, student: decoder.layers.1, project: true}
    - {teacher: decoder.layers.3.cross_attention.weights, student: decoder.layers.1.cross_attention.weights}
    - {teacher: encoder, student: encoder, project: true, loss: cosine}
"""
    distiller = made(written(tmp_path, matches, PAIRS, width=8)).eval()
    targets = torch.tensor([[3, 4, 5], [6, 7, 8]])
    inputs = {"source": TOKENS, "source_mask": TOKENS != 0, "target": targets - 1}
    longer = {
        "source": F.pad(TOKENS, (0, 2)), "source_mask": F.pad(TOKENS != 0, (0, 2)),
        "target": F.pad(targets - 1, (0, 2)),
    }  # fmt: skip
    one = distiller(inputs, targets)
    other = distiller(longer, F.pad(targets, (0, 2), value=-100))

    torch.testing.assert_close(one.parts, other.parts)
    assert [match.scored for match in distiller.pairing.matches] == [True, True, False]


def test_a_spec_that_is_no_file_has_no_teacher_beside_it(tmp_path):
    text = written(tmp_path, "").read_text()
    with pytest.raises(SpecError, match="this spec is no file"):
        composer.graph(text)


START = """\
  start:
    encoder.layers: [0, 2]
    encoder.embed: encoder.embed
    kind: kind
"""


def test_a_student_starts_with_chosen_layers_bit_by_bit(tmp_path):
    path = written(tmp_path, START)
    distiller = made(path, seed=5)
    teacher, student = distiller.teacher.state_dict(), distiller.student.state_dict()
    names = {
        name: name.replace("layers.1.", "layers.2.")
        for name in student
        if "encoder.norm" not in name
    }

    assert all(torch.equal(student[name], teacher[source]) for name, source in names.items())
    assert sum(not torch.equal(student[n], teacher[n]) for n in names) > 0  # layers 1 do differ
    norm = {n: t for n, t in student.items() if n not in names}
    alone = composer.build(path, seed=5).state_dict()
    assert norm
    assert all(torch.equal(tensor, alone[name]) for name, tensor in norm.items())


def test_a_path_starts_with_any_path_of_the_teacher(tmp_path):
    distiller = made(
        written(
            tmp_path, "  start: {encoder.layers.1.feed_forward: encoder.layers.3.feed_forward}\n"
        )
    )
    teacher, student = distiller.teacher.state_dict(), distiller.student.state_dict()

    for name in ("up.weight", "up.bias", "down.weight", "down.bias"):
        ours, theirs = (f"encoder.layers.{n}.feed_forward.{name}" for n in (1, 3))
        assert torch.equal(student[ours], teacher[theirs])


TIED = "connections: [{shared: [decoder.embed.tokens, logits.head]}]\n"
ONE_SET = "connections: [{shared: {within: encoder.layers, every: all}}]\n"
TWO_STACKS = """\
composer: 1
name: {name}
defaults: {{d_model: {width}, num_layers: {layers}, attention: {{num_heads: 2}}, dropout: {dropout}}}
inputs:
  source: {{kind: tokens, vocab_size: 256}}
  target: {{kind: tokens, vocab_size: 256}}
encoders: {{one: {{from: source}}, two: {{from: target}}}}
modules: {{both: {{kind: concat, axis: time, from: [one, two]}}}}
outputs: {{kind: {{from: both, head: {{kind: classification, num_classes: 3}}}}}}
"""
PART = "connections: [{shared: [one.layers.*.attention, two.layers.*.attention]}]\n"


@pytest.mark.parametrize("tied", [True, False], ids=["teacher tied", "teacher untied"])
def test_a_tied_head_stays_tied(tmp_path, tied):
    start = "  start: {decoder.embed: decoder.embed}\n"
    path = written(tmp_path, start, LM, more=TIED, teacher=TIED if tied else "")
    distiller = made(path)
    teacher, student = distiller.teacher.state_dict(), distiller.student.state_dict(keep_vars=True)

    assert student["decoder.embed.tokens.weight"] is student["logits.head.weight"]
    assert torch.equal(student["logits.head.weight"], teacher["decoder.embed.tokens.weight"])


def refused(path):
    with pytest.raises(SpecError) as caught:
        composer.graph(path)
    assert {problem.code for problem in caught.value.problems} == {"G222"}
    return caught.value.problems[0].message


def test_a_tied_head_is_refused_where_it_would_start_as_two(tmp_path):
    start = "  start: {decoder.embed: decoder.embed, logits: logits}\n"

    said = refused(written(tmp_path, start, LM, more=TIED))
    assert "'decoder.embed.tokens.weight' and 'logits.head.weight' are one tensor" in said
    composer.graph(written(tmp_path, start, LM, more=TIED, teacher=TIED))


def test_shared_layers_start_as_one_or_are_refused(tmp_path):
    said = refused(written(tmp_path, "  start: {encoder.layers: [0, 2]}\n", more=ONE_SET))
    assert "are one tensor" in said
    assert "'encoder.layers.0' and 'encoder.layers.2' of the teacher" in said

    start = "  start: {encoder.layers: [0, 2]}\n"
    for text, more in [("[3, 3]", ""), ("[0, 2]", ONE_SET)]:
        path = written(tmp_path, start.replace("[0, 2]", text), more=ONE_SET, teacher=more)
        student = made(path).student
        assert student.encoder.layers[0] is student.encoder.layers[1]


def test_shared_layers_of_a_teacher_become_layers_of_their_own(tmp_path):
    path = written(tmp_path, "  start: {encoder.layers: [0, 2]}\n", teacher=ONE_SET)
    layers = made(path).student.encoder.layers

    assert layers[0] is not layers[1]
    assert same(state_of(layers[0]), state_of(layers[1]))


def test_a_part_of_two_stacks_starts_as_one_or_is_refused(tmp_path):
    start = "  start: {one.layers: [0, 2], two.layers: [0, 2]}\n"
    assert "are one tensor" in refused(written(tmp_path, start, TWO_STACKS, more=PART))

    student = made(written(tmp_path, start, TWO_STACKS, more=PART, teacher=PART)).student
    assert student.one.layers[1].attention.q.weight is student.two.layers[1].attention.q.weight


def test_adapters_of_a_student_are_always_new(tmp_path):
    more = "adapt: [{lora: {on: encoder.layers.*.attention.(q|v), rank: 2}}]\n"
    distiller = made(written(tmp_path, "  start: {encoder.layers: [1, 3]}\n", more=more))
    distiller({"tokens": TOKENS}).total.backward()

    q = distiller.student.encoder.layers[1].attention.q
    assert torch.equal(q.weight, distiller.teacher.encoder.layers[3].attention.q.weight)
    assert [n for n, p in q.named_parameters() if p.requires_grad] == ["lora.a", "lora.b"]


def test_weights_of_a_teacher_are_read_from_where_the_spec_says(tmp_path):
    path = written(tmp_path, START)
    composer.weights.save(
        tmp_path / "t.safetensors", composer.build(tmp_path / "teacher.yaml", seed=7).state_dict()
    )
    text = path.read_text()
    path.write_text(text.replace("teacher.yaml}", "teacher.yaml, weights: t.safetensors}"))
    other = composer.build(tmp_path / "teacher.yaml", seed=7)

    assert same(state_of(other), state_of(distillation.build(path).teacher))
    path.write_text(text)
    with pytest.raises(SpecError, match="the teacher has no weights"):
        distillation.build(path)


def test_a_size_and_a_teacher_of_its_own_are_read(tmp_path):
    path = written(tmp_path, "", teacher="sizes: {wide: {encoders: {encoder: {d_model: 32}}}}\n")
    chain = (tmp_path / "teacher.yaml").read_text() + "distill: {teacher: {spec: gone.yaml}}\n"
    (tmp_path / "teacher.yaml").write_text(chain)
    path.write_text(path.read_text().replace("teacher.yaml}", "teacher.yaml, size: wide}"))
    wide = composer.build(
        tmp_path / "teacher.yaml", size="wide", seed=1, overrides=["distill=null"]
    )

    assert distillation.build(path, teacher=wide).teacher.encoder.norm.weight.shape == (32,)


def test_matches_of_every_loss_are_finite_in_half_precision(tmp_path):
    distiller = made(written(tmp_path, BOTH, width=8))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        losses = distiller({"tokens": TOKENS}, TARGETS)

    assert all(math.isfinite(part) for part in losses.parts.values())
