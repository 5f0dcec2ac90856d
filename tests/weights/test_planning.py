"""Plans: each operation, both directions, and every fault by both names."""

import pytest
import torch

import composer
from composer.weights import WeightError, apply, convert_tensors, export, load_map, plan, plan_back
from tests.weights.samples import SAME, SPEC, TIED, random_tensors


def back_of(graph, rules, layout=""):
    """The tensors of a graph under the names that a map reads."""
    tensors = random_tensors(graph)
    return tensors, export(plan_back(graph, load_map(rules), layout), tensors.__getitem__)


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def problems_of(graph, rules, shapes):
    with pytest.raises(WeightError) as caught:
        plan(graph, load_map(rules), shapes)
    return {(problem.code, problem.message) for problem in caught.value.problems}


FUSED = {
    "from": "h.{i}.attn.qkv.{p}", "to": "decoder.layers.{i}.attention.{part}.{p}",
    "split": {"groups": "num_kv_heads", "parts": {
        "q": "num_heads//num_kv_heads*head_dim", "k": "head_dim", "v": "head_dim"}},
}  # fmt: skip
OPERATIONS = {
    "rename": [],
    "transpose": [{
        "from": "h.{i}.attn.(wq|wk|wv|wo).{p}", "to": "decoder.layers.{i}.attention.(q|k|v|o).{p}",
        "transpose": True,
    }],
    "split by groups": [FUSED],
    "split after transpose": [{**FUSED, "transpose": True}],
    "rearrange": [{
        "from": "h.{i}.attn.wq.weight", "to": "decoder.layers.{i}.attention.q.weight",
        "rearrange": "c h d -> (h d) c", "sizes": {"h": "num_heads", "d": "head_dim"},
    }],
    "rows interleaved": [{
        "from": "h.{i}.attn.wo.weight", "to": "decoder.layers.{i}.attention.o.weight",
        "rearrange": "(d two) c -> (two d) c", "sizes": {"two": 2},
    }],
    "join": [{
        "from": "h.{i}.mlp.up_{part}", "to": "decoder.layers.{i}.feed_forward.up.weight",
        "join": {"axis": 0, "parts": {"low": "d_ff//3", "high": "d_ff-d_ff//3"}},
    }],
    "stack": [{
        "from": "h.{i}.mlp.rows.{r}.up", "to": "decoder.layers.{i}.feed_forward.up.weight",
        "stack": {"over": "r"},
    }],
    "stack along another axis": [{
        "from": "h.{i}.mlp.rows.{r}.up", "to": "decoder.layers.{i}.feed_forward.up.weight",
        "stack": {"over": "r", "axis": 1},
    }],
    "split, then stack": [{
        "from": "h.{i}.mlp.rows.{r}.both", "to": "decoder.layers.{i}.feed_forward.{part}.weight",
        "split": {"parts": {"gate": 8, "up": "d_model"}}, "stack": {"over": "r"},
    }],
    "unstack": [{
        "from": "norms.(1|2).{p}", "to": "decoder.layers.{i}.(attention|feed_forward)_norm.{p}",
        "unstack": {"over": "i"},
    }],
    "unstack, then transpose": [{
        "from": "all.wk", "to": "decoder.layers.{i}.attention.k.weight",
        "unstack": {"over": "i"}, "transpose": True,
    }],
    "fill": [{"to": "decoder.layers.{i}.attention.k.bias", "fill": 0}],
}  # fmt: skip


@pytest.mark.parametrize("extra", OPERATIONS.values(), ids=OPERATIONS)
def test_there_and_back(graph, rules, extra):
    made = load_map({"rules": [*extra, *rules]})
    tensors = random_tensors(graph)
    if "fill" in str(extra):
        tensors = {n: t * 0 if n.endswith("k.bias") else t for n, t in tensors.items()}
    source = export(plan_back(graph, made), tensors.__getitem__)
    there = plan(graph, load_map([*extra, *optional(rules)]), shapes_of(source))

    assert apply(there, source.__getitem__).keys() == tensors.keys()
    assert all(torch.equal(t, tensors[n]) for n, t in apply(there, source.__getitem__).items())
    again = export(there, tensors.__getitem__)
    assert again.keys() == source.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in source.items())


def optional(rules):
    """The rules, which another rule may leave nothing."""
    sides = [rule.split(" -> ") for rule in rules]
    return [{"from": source, "to": target, "optional": True} for source, target in sides]


def test_fused_groups_hold_the_heads_of_each_group(graph, rules):
    tensors, source = back_of(graph, [FUSED, *rules])
    q, k, v = (tensors[f"decoder.layers.0.attention.{n}.weight"] for n in "qkv")

    expected = torch.cat([q[:6], k[:3], v[:3], q[6:], k[3:], v[3:]])
    assert torch.equal(source["h.0.attn.qkv.weight"], expected)


def test_experts_are_stacked_by_number_and_not_by_spelling(graph, rules):
    stack = {
        "from": "rows.{i}.{r}",
        "to": "decoder.layers.{i}.feed_forward.up.weight",
        "stack": {"over": "r"},
    }
    tensors, source = back_of(graph, [stack, *rules])
    source = dict(sorted(source.items()))  # 0, 1, 10, 11, 2, ...

    made = convert_tensors(graph, [stack, *rules], source)

    assert len([name for name in source if name.startswith("rows.0.")]) == 12
    assert all(torch.equal(made[name], tensor) for name, tensor in tensors.items())


def test_what_is_filled_goes_back_only_as_it_was(graph, rules):
    with pytest.raises(WeightError, match=r"cannot go back: it must be 0 everywhere"):
        back_of(graph, [{"to": "decoder.layers.{i}.attention.k.bias", "fill": 0}, *rules])


def test_slice_and_back_from_no_source(graph, rules):
    cut = {
        "from": "wte.weight", "to": "decoder.embed.tokens.weight",
        "slice": {"start": 2, "stop": "vocab_size+2"},
    }  # fmt: skip
    tensors, source = back_of(graph, [cut, *rules[1:]])

    assert source["wte.weight"].shape == (13, 8)
    assert torch.equal(source["wte.weight"][2:], tensors["decoder.embed.tokens.weight"])


def test_slice_is_lost_and_zero_on_the_way_back(graph, rules):
    cut = {
        "from": "wte.weight",
        "to": "decoder.embed.tokens.weight",
        "slice": {"start": 2, "stop": "vocab_size+2"},
    }
    _, source = back_of(graph, rules)
    source["wte.weight"] = torch.randn(16, 8)
    made = plan(graph, load_map([cut, *rules[1:]]), shapes_of(source))
    tensors = apply(made, source.__getitem__)
    again = export(made, tensors.__getitem__)["wte.weight"]

    assert made.lost == ("wte.weight",)
    assert torch.equal(tensors["decoder.embed.tokens.weight"], source["wte.weight"][2:13])
    assert torch.equal(again[2:13], source["wte.weight"][2:13])
    assert again.shape == (16, 8)
    assert again[:2].abs().sum() + again[13:].abs().sum() == 0


def test_a_source_that_nothing_is_made_of(graph, rules):
    _, source = back_of(graph, rules)
    shapes = {**shapes_of(source), "h.0.attn.rotary": (4,), "h.1.attn.rotary": (4,)}

    assert problems_of(graph, rules, shapes) == {
        ("W401", "nothing is made of 'h.0.attn.rotary' [4] (and 1 more like it)")
    }
    assert plan(graph, load_map([*rules, {"ignore": "h.{i}.attn.rotary"}]), shapes).ignored == (
        "h.0.attn.rotary", "h.1.attn.rotary",
    )  # fmt: skip


def test_a_tensor_that_is_made_of_nothing(graph, rules):
    shapes = shapes_of(back_of(graph, rules)[1])
    del shapes["h.1.attn.wk.bias"]

    assert problems_of(graph, rules, shapes) == {
        ("W402", "'decoder.layers.1.attention.k.bias' [6] is made of nothing")
    }


def test_a_rule_that_matches_nothing(graph, rules):
    shapes = shapes_of(back_of(graph, rules)[1])

    assert problems_of(graph, [*rules, "old.{p} -> decoder.norm.{p}"], shapes) == {
        ("W403", "the rule 'old.{p} -> decoder.norm.{p}' matches nothing in the source")
    }


def test_a_name_that_the_model_does_not_have(graph, rules):
    shapes = {**shapes_of(back_of(graph, rules)[1]), "h.0.mlp.side.weight": (12, 8)}

    assert problems_of(graph, rules, shapes) == {(
        "W404",
        ("'h.0.mlp.side.weight' becomes 'decoder.layers.0.feed_forward.side.weight', "
        "which the model does not have"),
    )}  # fmt: skip


def test_a_shape_that_does_not_fit(graph, rules):
    shapes = {**shapes_of(back_of(graph, rules)[1]), "wte.weight": (12, 8)}

    assert problems_of(graph, rules, shapes) == {
        ("W405", "'wte.weight' [12, 8] makes [12, 8], but 'decoder.embed.tokens.weight' is [11, 8]")
    }


def test_two_sources_of_one_tensor(graph, rules):
    shapes = {**shapes_of(back_of(graph, rules)[1]), "emb.weight": (11, 8)}

    found = problems_of(graph, [*rules, "emb.weight -> decoder.embed.tokens.weight"], shapes)
    assert found == {
        ("W404", "'decoder.embed.tokens.weight' is made twice, of 'wte.weight' and of 'emb.weight'")
    }


def test_a_part_that_is_missing(graph, rules):
    join = {
        "from": "h.{i}.mlp.up_{part}", "to": "decoder.layers.{i}.feed_forward.up.weight",
        "join": {"parts": {"low": 4, "high": 8}},
    }  # fmt: skip
    shapes = shapes_of(back_of(graph, [join, *rules])[1])
    del shapes["h.2.mlp.up_high"]

    assert problems_of(graph, [join, *rules], shapes) == {
        ("W404", "'h.2.mlp.up_low' needs 'h.2.mlp.up_high' beside it")
    }


def test_wrong_parts_are_told_with_both_shapes(graph, rules):
    shapes = shapes_of(back_of(graph, [FUSED, *rules])[1])
    equal = {**FUSED, "split": {"parts": {"q": "d_model", "k": "d_model", "v": "d_model"}}}
    longer = {**FUSED, "split": {"parts": {"q": "d_ff", "k": "d_model", "v": "d_model"}}}
    others = [*optional([rules[1]]), rules[0], *rules[2:]]

    source = "'h.0.attn.qkv.weight' [24, 8]"
    target = "'decoder.layers.0.attention.q.weight' is [12, 8] (and 2 more like it)"
    assert ("W405", f"{source} makes [8, 8], but {target}") in problems_of(
        graph, [equal, *others], shapes
    )
    ((_, first), *_) = sorted(problems_of(graph, [longer, *others], shapes))
    assert "'d_ff' is not a size here" in first
    assert "head_dim" in first


@pytest.mark.parametrize("present", ["both", "first", "second"])
def test_tied_copies_may_be_there_or_not(tied, rules, present):
    tensors = random_tensors(tied)
    other = dict(
        zip(
            ["wte.weight", "head.weight"], [tensors["decoder.embed.tokens.weight"]] * 2, strict=True
        )
    )
    kept = {
        "both": other,
        "first": {"wte.weight": other["wte.weight"]},
        "second": {"head.weight": other["head.weight"]},
    }[present]
    source = export(plan_back(tied, load_map(rules)), tensors.__getitem__)
    source = {**{n: t for n, t in source.items() if n not in other}, **kept}
    made = plan(
        tied,
        load_map(
            [
                {"from": "wte.weight", "to": "decoder.embed.tokens.weight", "optional": True},
                *rules[1:],
            ]
        ),
        shapes_of(source),
    )

    assert tied.aliases == {"logits.head.weight": "decoder.embed.tokens.weight"}
    assert all(torch.equal(t, tensors[n]) for n, t in apply(made, source.__getitem__).items())
    assert export(made, tensors.__getitem__).keys() == source.keys()


def test_tied_copies_that_differ(tied, rules):
    tensors = random_tensors(tied)
    source = export(plan_back(tied, load_map(rules)), tensors.__getitem__)
    source["head.weight"] = source["wte.weight"] + 1

    with pytest.raises(WeightError, match=r"are both 'decoder.embed.tokens.weight', but differ"):
        convert_tensors(tied, rules, source)


@pytest.mark.parametrize(
    "names",
    [
        ["wte.weight"],
        ["enc.weight"],
        ["enc.weight", "dec.weight"],
        ["wte.weight", "enc.weight", "dec.weight"],
    ],
)
def test_second_names_of_a_source(graph, rules, names):
    ties = [{"from": f"{name}.weight", "tie": "wte.weight"} for name in ("enc", "dec")]
    tensors, source = back_of(graph, rules)
    table = source.pop("wte.weight")
    source |= dict.fromkeys(names, table)
    made = plan(graph, load_map([*ties, *rules]), shapes_of(source))
    found = apply(made, source.__getitem__)

    assert torch.equal(found["decoder.embed.tokens.weight"], table)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert export(made, found.__getitem__).keys() == source.keys()


@pytest.mark.parametrize("first", ["wte", "dec"])
def test_second_names_that_differ(graph, rules, first):
    ties = [{"from": f"{name}.weight", "tie": "wte.weight"} for name in ("dec", "enc")]
    _, source = back_of(graph, rules)
    table = source.pop("wte.weight")
    source |= {f"{first}.weight": table, "enc.weight": table + 1}

    with pytest.raises(
        WeightError, match=r"'enc.weight' and '(wte|dec).weight' are one tensor, but differ"
    ):
        convert_tensors(graph, [*ties, *rules], source)


def test_the_layout_that_fits_is_used(graph, rules):
    older = {"parameters": {"prefix": ["model.", ""]}, "rules": rules[1:], "layouts": {
        "in_memory": ["{prefix}wte.weight -> decoder.embed.tokens.weight"],
        "published": ["{prefix}word_embeddings.weight -> decoder.embed.tokens.weight"],
    }}  # fmt: skip
    _, source = back_of(graph, rules)
    table = source.pop("wte.weight")

    for name, layout in [("model.wte", "in_memory, prefix 'model.'"),
                         ("wte", "in_memory, prefix ''"),
                         ("word_embeddings", "published, prefix ''")]:  # fmt: skip
        shapes = shapes_of({**source, f"{name}.weight": table})
        assert plan(graph, load_map(older), shapes).layout == layout
    with pytest.raises(WeightError) as caught:
        plan(graph, load_map(older), shapes_of({**source, "tok.weight": table}))
    assert "no layout of 'map' fits" in str(caught.value)
    _, written = back_of(graph, older, "published, prefix ''")
    assert "word_embeddings.weight" in written


def test_layers_that_are_one(rules):
    spec = SPEC + "connections: [{shared: {within: decoder.layers, every: all}}]\n"
    graph = composer.graph(spec)
    tensors, source = back_of(graph, [*rules])
    every = {
        name.replace("h.0.", f"h.{i}."): tensor for name, tensor in source.items() for i in range(3)
    }

    assert {name.split(".")[1] for name in source if name.startswith("h.")} == {"0"}
    for given in (source, every):
        made = convert_tensors(graph, rules, given)
        assert all(torch.equal(made[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("a -> b -> c", "has no single '->'"),
        ("a.{i} -> b", "{i} stands on one side only"),
        ("a.(x|y) -> b.(x|y|z)", "bracket 1 has 2 words on the left and 3 on the right"),
        ("a.(x|y) -> b", "1 brackets on the left, but 0 on the right"),
        ("a.* -> b", "'*' stands in `ignore` only"),
        ("a b -> c", "'a b' is not a pattern of names"),
        ("a.(x|x) -> a.(x|y)", "has a word twice"),
        ({"from": "a", "to": "b", "split": {"parts": {"q": 1}}}, "`split` needs {part} in `to`"),
        ({"from": "a.{e}", "to": "b", "stack": {"over": "j"}}, "`stack` needs {j} in `from`"),
        ({"from": "a"}, "a rule needs `from` and `to`, or `ignore`"),
        ({"ignore": "a", "to": "b"}, "a rule that ignores has no other key"),
        ({"from": "a", "to": "b", "tie": "c"}, "a rule with `tie` has a `from` and no `to`"),
        ({"from": "a", "to": "b", "fill": 1}, "a rule with `fill` has a `to` and no `from`"),
        ({"from": "a", "to": "b", "transposed": True}, "unknown key 'transposed' in a rule"),
        ({"from": "a", "to": "b", "split": {"part": {}}}, "unknown key 'part' in 'split'"),
    ],
)
def test_rules_that_mean_nothing(rule, message):
    with pytest.raises(composer.SpecError) as caught:
        load_map([rule])
    assert message in str(caught.value)


def test_a_map_lies_below_its_spec(tmp_path):
    (tmp_path / "specs" / "maps").mkdir(parents=True)
    spec = tmp_path / "specs" / "tiny.yaml"
    (tmp_path / "outside.yaml").write_text("rules: []\n")
    (tmp_path / "specs" / "maps" / "m.yaml").write_text(
        "rules:\n" + "".join(f'  - "{r}"\n' for r in SAME)
    )

    spec.write_text(SPEC + "weights: {other: maps/m.yaml}\n")
    assert len(composer.load(spec).weights["other"].layouts[0].rules) == len(SAME)
    for path, message in [
        ("../outside.yaml", "lies outside"),
        ("maps/none.yaml", "there is no file"),
    ]:
        spec.write_text(SPEC + f"weights: {{other: {path}}}\n")
        with pytest.raises(composer.SpecError, match=message):
            composer.load(spec)
    with pytest.raises(composer.SpecError, match=r"this spec is no file"):
        composer.load(SPEC + "weights: {other: maps/m.yaml}\n")


def test_maps_that_extend_each_other_end(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\nrules: [a -> b]\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")

    with pytest.raises(composer.SpecError, match=r"maps extend each other"):
        load_map(tmp_path / "a.yaml")


def test_tied_spec_is_what_it_says():
    assert list(composer.graph(TIED).aliases) == ["logits.head.weight"]
