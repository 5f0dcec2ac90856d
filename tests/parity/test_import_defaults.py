"""What declarations take for a key that is left out is what the config's class takes."""

from __future__ import annotations

import json

import pytest

from composer.configs import import_config
from composer.configs.declarations import declaration, declarations
from composer.configs.zoo import zoo

TYPES = declarations(zoo() / "configs")
SAYABLE = {
    "beit": {"use_relative_position_bias": True},
    "deberta-v2": {
        "relative_attention": True, "position_biased_input": False, "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm", "position_buckets": 256,
    },
}  # fmt: skip
"""Keys whose defaults no spec can say, otherwise."""


def spec_of(config: dict[str, object], folder) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    made = import_config(folder)
    assert made.unknown == ()
    return "\n".join(line for line in made.text.splitlines() if not line.startswith("#"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", TYPES)
def test_a_key_that_is_left_out_is_as_in_the_class(model_type, tmp_path):
    transformers = pytest.importorskip("transformers")
    sayable = SAYABLE.get(model_type, {})
    config = transformers.CONFIG_MAPPING[model_type](**sayable)
    whole = json.loads(config.to_json_string(use_diff=False))
    layers = {key: whole[key] for key in ("layer_types", "no_rope_layers") if whole.get(key)}

    assert spec_of({"model_type": model_type, **layers, **sayable}, tmp_path) == spec_of(
        whole, tmp_path
    )


@pytest.mark.parametrize("model_type", TYPES)
def test_a_declaration_names_its_spec_and_every_architecture(model_type):
    fields = declaration(TYPES[model_type]).fields

    assert (zoo() / str(fields.spec)).is_file()
    assert fields.architectures
