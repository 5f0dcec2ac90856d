"""`composer generate`: what a model continues a prompt with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .output import UsageError, message, product
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .weights import read_weights

WeightsPath = Annotated[
    Path,
    typer.Option(
        "--weights", metavar="FILE",
        help="A safetensors file, its index, or their folder, under the spec's names or those of "
        "one of its maps.",
    ),
]  # fmt: skip
PromptIds = Annotated[
    list[str] | None,
    typer.Option("--prompt-ids", metavar="1,2,3", help="Token ids; again for another prompt."),
]
Prompt = Annotated[
    list[str] | None,
    typer.Option("--prompt", metavar="TEXT", help="A text for --tokenizer; again for another."),
]
TokenizerFile = Annotated[
    Path | None, typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json.")
]
OtherInputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=1,2,3", help="Token ids of another input."),
]
Eos = Annotated[
    list[int] | None, typer.Option("--eos", metavar="ID", help="A token that ends a text.")
]
MapName = Annotated[
    str | None, typer.Option("--map", metavar="NAME", help="One of the spec's weights.")
]


def generate(
    spec: Spec,
    weights: WeightsPath,
    prompt_ids: PromptIds = None,
    prompt: Prompt = None,
    tokenizer: TokenizerFile = None,
    given: OtherInputs = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1)] = 32,
    temperature: Annotated[float | None, typer.Option("--temperature")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the samples.")] = None,
    num_beams: Annotated[int, typer.Option("--num-beams", min=1)] = 1,
    length_penalty: Annotated[float, typer.Option("--length-penalty")] = 1.0,
    eos: Eos = None,
    map_name: MapName = None,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Continue prompts with a model, one line for each.

    The next token is the best one, unless --temperature, --top-k, --top-p or --seed ask for samples
    or --num-beams for beam search.
    """
    from composer.generation.stored import generate_stored

    made, graph = read(spec, size, overrides, plugins)
    words = None if tokenizer is None else _tokenizer(tokenizer)
    rows = _prompts(prompt_ids, prompt, words)
    tensors = read_weights(made, graph, weights, map_name, None)
    settings = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed,
        "num_beams": num_beams, "length_penalty": length_penalty, "eos": eos,
    }  # fmt: skip
    try:
        result = generate_stored(graph, tensors, rows, _inputs(given), settings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    for tokens in result.lists():
        text = ",".join(map(str, tokens)) if words is None else words.decode(tokens)
        product(f"{text}\n")
    if not result.cached:
        message("every step ran the whole model: no cache could be kept")


def _tokenizer(path: Path) -> Any:  # noqa: ANN401 - of a library that may be absent
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UsageError("--tokenizer needs the `tokenizers` extra") from error
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    return Tokenizer.from_file(str(path))


def _prompts(
    ids: list[str] | None, texts: list[str] | None, tokenizer: Any  # noqa: ANN401 - as above
) -> list[list[int]]:  # fmt: skip
    if texts and tokenizer is None:
        raise UsageError("--prompt needs a --tokenizer; ids are given with --prompt-ids")
    rows = [_ids(each, "--prompt-ids") for each in ids or ()]
    rows += [tokenizer.encode(text).ids for text in texts or ()]
    if not rows:
        raise UsageError("there is no prompt: give --prompt-ids or --prompt")
    return rows


def _inputs(given: list[str] | None) -> dict[str, list[int]]:
    """Token ids of other inputs by name."""
    found = {}
    for each in given or ():
        name, sign, text = each.partition("=")
        if not sign:
            raise UsageError(f"--input {each}: write NAME=1,2,3")
        found[name] = _ids(text, "--input")
    return found


def _ids(text: str, option: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"{option} {text}: write token ids with commas between them, as 1,2,3")
    return [int(word) for word in words]
