"""The keys that each section of a spec may have, without what stands in component slots."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from composer.components.options import Natural, Number, Positive, Probability

Text = Annotated[str, StringConstraints(max_length=10_000)]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.*]*$", max_length=200)]
References = Union[Reference, list[Reference]]
Width = Annotated[Positive, Field(le=1_000_000)]
Depth = Annotated[Positive, Field(le=10_000)]
Slot = Any
"""A place where a component stands; it is checked by the component's own declaration."""

Placement = Literal["pre", "post", "sandwich", "branch"]
Combination = Literal["serial", "parallel", "flat", "hierarchical", "gated"]


NAMED_SECTIONS = ("inputs", "encoders", "decoders", "modules", "outputs")
"""The sections whose keys are names of parts."""


class Fields(BaseModel):
    """The base: unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


class ModelFields(Fields):
    """The sections of a spec."""

    composer: Literal[1] = Field(description="Version of the language; 1.")
    name: Text = Field(description="Name of the model; its class is named after it.")
    title: Text | None = Field(default=None, description="Title of the diagram. Default: the name.")
    description: Text | None = Field(default=None, description="What the model is, in prose.")
    cite: list[Text] = Field(default=[], description="Papers, e.g. arXiv:1706.03762.")
    dims: Any = Field(default=None, description="Named numbers that sizes are written with.")
    defaults: Any = Field(default=None, description="Options of every stack; nearest value wins.")
    inputs: Any = Field(description="What comes in.")
    encoders: Any = Field(default=None, description="Stacks whose steps see the whole sequence.")
    decoders: Any = Field(default=None, description="Stacks whose steps see earlier steps only.")
    modules: Any = Field(default=None, description="What is neither stack nor connection.")
    connections: Any = Field(default=None, description="A list of cross, shared, skip, parallel.")
    outputs: Any = Field(description="What comes out.")
    initialization: Slot = Field(default=None, description="How parameters start.")
    parametrization: Any = Field(
        default=None, description="How starts, factors and learning rates follow width and depth."
    )
    extends: Text | None = Field(default=None, description="A spec that this one is merged over.")
    sizes: Any = Field(default=None, description="Named variants, chosen with --size.")
    weights: Any = Field(default=None, description="Maps of weights, by whose names they read.")
    freeze: Any = Field(
        default=None,
        description="Paths of parameters that training leaves as they are; a list, or "
        "{parts: LIST, except: LIST}.",
    )
    adapt: Any = Field(
        default=None,
        description="A list of adapters, e.g. {lora: {on: PATHS, rank: 8}}; all else is frozen "
        "unless `freeze` says what is.",
    )
    compress: Any = Field(
        default=None,
        description="A list of passes that make the model smaller, e.g. "
        "{quantize: {on: PATHS, scheme: int8_dynamic}}.",
    )
    train: Any = Field(default=None, description="How the model is trained.")
    distill: Any = Field(default=None, description="A teacher, and what is learned from it.")
    parallel: Any = Field(default=None, description="How the model is spread over devices.")


class StackFields(Fields):
    """A stack of layers."""

    from_: Reference = Field(alias="from", description="What the stack reads.")
    d_model: Width = Field(description="Width of its states.")
    num_layers: Depth = Field(description="Number of layers.")
    embed: Slot = Field(default=None, description="How its input is embedded.")
    norm: Slot = Field(default=None, description="Norm of its branches, and its placement.")
    attention: Slot = Field(default=None, description="Its self-attention.")
    cross_attention: Slot = Field(
        default=None, description="Its cross-attention. Default: heads as in attention."
    )
    feed_forward: Slot = Field(default=None, description="Its feed-forward.")
    dropout: Probability = Field(
        default=0.0, description="Dropout of the embedding and of every branch's result."
    )
    final_norm: Slot = Field(
        default=None,
        description="A norm after the last layer: true, false or a norm. "
        "Default: true, except with post-norm.",
    )
    layer: Any = Field(default=None, description="The branches of a layer, in order.")
    layer_types: list[Text] | None = Field(
        default=None,
        description="Types of the layers, cycled over the depth; with `{first: [...], then: [...]}`, "
        "some before those that are cycled.",
    )
    types: Any = Field(default=None, description="What each type changes.")


class LayerTypesFields(Fields):
    """Types of layers that do not only take turns."""

    first: list[Text] = Field(description="Types of the first layers, one each.", min_length=1)
    then: list[Text] = Field(description="Types of the others, cycled.", min_length=1)


class TypeFields(Fields):
    """What a layer type may change."""

    norm: Slot = None
    attention: Slot = None
    cross_attention: Slot = None
    feed_forward: Slot = None
    dropout: Probability = 0.0
    layer: Any = None


class BranchFields(Fields):
    """How a branch is wired into its layer; everything else is the component's own."""

    name: Text | None = Field(default=None, description="Its name. Default: its kind's slot.")
    norm: Slot = Field(default=None, description="Its norm. Default: the stack's.")
    scale: Number | None = Field(default=None, description="Factor of its result.")
    gate: Slot = Field(default=None, description="A learned gate of its result.")
    residual: bool = Field(default=True, description="Whether its result is added to its input.")


class ParallelBranchFields(BranchFields):
    """Branches side by side within a layer."""

    branches: Any = Field(description="The branches.")
    combine: Slot = Field(default=None, description="How they are merged. Default: sum.")
    norms: Literal["shared", "each"] = Field(
        default="shared", description="One norm before all of them, or one for each."
    )


class ModuleFields(Fields):
    """What every module has beside the options of its kind."""

    from_: References = Field(alias="from", description="What it reads.")
    mask: Literal["keep", "drop"] = Field(
        default="keep", description="Whether padding is still told apart after it."
    )


class OutputFields(Fields):
    """Something that a model returns."""

    from_: Reference = Field(alias="from", description="What is returned, or the head reads.")
    head: Slot = Field(default=None, description="A head on top.")


class CrossFields(Fields):
    """Attention from one stack into others."""

    from_: References = Field(alias="from", description="What is attended to.")
    to: Reference = Field(description="The stack whose layers attend.")
    layers: Text | list[Natural] = Field(
        default="all",
        description="Which layers: all, aligned (layer i reads layer i), every N, or a list.",
    )
    gate: Slot = Field(default=None, description="A learned gate of the result.")
    combine: Combination = Field(default="serial", description="How several sources are combined.")
    read: Literal["last", "weighted"] = Field(
        default="last", description="The last state, or a learned mix of all layers' states."
    )
    causal: bool = Field(
        default=False, description="Whether step t reads only the first t steps of the source."
    )


class WithinFields(Fields):
    """Sharing between the layers of one stack."""

    within: Reference = Field(description="STACK.layers, or STACK.layers.*.PART.")
    every: Positive | Literal["all"] = Field(
        description="How many layers in a row share one set; `all` for one set."
    )


class SkipFields(Fields):
    """An earlier state that reaches a later layer."""

    from_: Reference = Field(alias="from", description="A stack, or STACK.layers.N.")
    to: Reference = Field(description="A stack, or STACK.layers.N.")
    pairs: Literal["mirror", "aligned"] | list[list[Natural]] | None = Field(
        default=None, description="Which layer reaches which: mirror, aligned, or a list of pairs."
    )
    combine: Slot = Field(default=None, description="How the two meet. Default: add.")


class ParallelFields(Fields):
    """Stacks side by side."""

    stacks: list[Reference] = Field(description="The stacks.", min_length=2)
    exchange: Literal["cross"] | None = Field(
        default=None, description="cross: each step attends to the others' previous states."
    )
    direction: Text | None = Field(
        default=None, description="`a -> b`: only b reads. Default: both ways."
    )
    causal: bool = Field(
        default=False, description="Whether exchanged states are read up to the same step only."
    )
    combine: Slot = Field(default=None, description="How the results are merged into one.")
    output: Text | None = Field(default=None, description="Name of the merged result.")


class ParametrizationFields(Fields):
    """How starts, factors and learning rates follow the width and the depth of a model."""

    kind: Literal["standard", "mup", "completep"] = Field(
        description="mup: the best learning rate stays the same at every width (Yang et al., 2022, "
        "arXiv:2203.03466); completep: at every depth, too (Dey et al., 2025, arXiv:2505.01618); "
        "standard: neither."
    )
    base: Any = Field(
        default=None,
        description="What changes this model into the one whose learning rate is known, written "
        "as in `sizes`, e.g. {dims: {d_model: 256}}.",
    )


CONNECTIONS: dict[str, type[Fields]] = {
    "cross": CrossFields,
    "shared": WithinFields,
    "skip": SkipFields,
    "parallel": ParallelFields,
}

SYNONYMS = {
    "hidden_size": "d_model", "hidden_dim": "d_model", "n_embd": "d_model", "embed_dim": "d_model",
    "dim": "d_model", "model_dim": "d_model", "nhead": "num_heads", "n_head": "num_heads",
    "n_heads": "num_heads", "heads": "num_heads", "head": "num_heads",
    "num_attention_heads": "num_heads", "encoder_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads", "n_kv_heads": "num_kv_heads", "d_kv": "head_dim",
    "dim_head": "head_dim", "d_head": "head_dim", "intermediate_size": "d_ff", "ffn_dim": "d_ff",
    "dim_feedforward": "d_ff", "n_inner": "d_ff", "d_inner": "d_ff", "hidden_act": "activation",
    "act": "activation", "act_fn": "activation", "activation_function": "activation",
    "n_layer": "num_layers", "n_layers": "num_layers", "depth": "num_layers",
    "num_hidden_layers": "num_layers", "encoder_layers": "num_layers",
    "num_encoder_layers": "num_layers", "num_decoder_layers": "num_layers", "layers": "num_layers",
    "layer_norm_eps": "eps", "rms_norm_eps": "eps", "epsilon": "eps", "rope_theta": "theta",
    "sliding_window": "window", "window_size": "window", "max_position_embeddings": "max_length",
    "n_positions": "max_length", "max_seq_len": "max_length", "n_vocab": "vocab_size",
    "use_bias": "bias", "attention_bias": "bias", "ffn": "feed_forward", "mlp": "feed_forward",
    "self_attention": "attention", "self_attn": "attention", "attn": "attention",
    "layer_norm": "layernorm", "rms_norm": "rmsnorm", "hidden_dropout_prob": "dropout",
    "attention_dropout": "dropout", "is_causal": "causal", "embedding": "embed",
    "input": "from", "source": "from", "type": "kind", "num_channels": "channels",
    "in_channels": "channels", "embeddings": "embed", "positional": "position",
    "learning_rate": "lr", "max_steps": "steps", "num_steps": "steps", "warmup_steps": "warmup",
    "gradient_accumulation_steps": "accumulate", "max_grad_norm": "clip", "grad_clip": "clip",
    "gradient_clip_val": "clip", "lr_scheduler_type": "schedule", "save_steps": "checkpoint_every",
    "eval_steps": "eval_every", "logging_steps": "log_every", "save_total_limit": "keep",
    "mixed_precision": "precision", "adam_epsilon": "eps",
}  # fmt: skip
"""Spellings of other libraries, recognised in hints and never accepted."""
