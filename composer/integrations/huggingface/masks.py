"""What an attention mask says of an input."""

from __future__ import annotations

from torch import Tensor

from composer.graph.graph import Graph, Input


def mask_of(item: Input, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """The mask that `forward` takes with an input: none where all tokens are real, or say it.

    mask (batch, held and new steps): 1 for real tokens, 0 for padding; tokens (batch, new steps).

    Raises ValueError for padding that the spec does not say.
    """
    if mask is None or bool(mask.all()):
        return {}
    if item.padding == "mask":
        return {f"{item.name}_mask": mask.bool()}
    left_out = mask[:, -tokens.shape[1] :] == 0
    if item.padding is not None and bool((tokens[left_out] == item.padding).all()):
        return {}  # the model finds them itself
    raise ValueError(f"some tokens are padding: write `padding: mask` at '{item.name}'")


def check_starts(graph: Graph, mask: Tensor | None) -> None:
    """Raises ValueError for padding before a text where it would move positions."""
    if mask is None or bool(mask[:, 0].all()) or not _counts_from_the_start(graph):
        return
    raise ValueError(
        "padding before a text would move its positions, which are counted from the start: "
        "give texts of one length, pad them on the right, or use composer.generate"
    )


def _counts_from_the_start(graph: Graph) -> bool:
    """Whether embeddings of positions are added to those of tokens."""
    placed = [part.embed.placed for part in graph.stacks if part.embed is not None]
    return any("position" in each.parts for each in placed)
