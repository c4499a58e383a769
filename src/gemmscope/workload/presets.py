"""Shapes that people ask about, by name, with their source."""

from __future__ import annotations

import msgspec

from gemmscope.workload.shapes import Shape


class Preset(msgspec.Struct, frozen=True):
    """A named list of shapes.

    Args:
        name: As it is asked for with ``--shape``.
        what: What the shapes are, in a few words.
        shapes: The shapes, in the order in which they are measured.
        source: Where their dimensions are from; empty where they are a plain series.
    """

    name: str
    what: str
    shapes: tuple[Shape, ...]
    source: str = ""


def _squares(*sizes: int) -> tuple[Shape, ...]:
    return tuple(Shape(size, size, size) for size in sizes)


def _layer(tokens: int, width: int, heads_width: int, hidden: int) -> tuple[Shape, ...]:
    """The four products of a decoder layer: queries, keys and values in one; attention's output; up; down."""
    return (
        Shape(tokens, heads_width, width),
        Shape(tokens, width, width),
        Shape(tokens, hidden, width),
        Shape(tokens, width, hidden),
    )


_GPT2 = "Radford et al., Language Models are Unsupervised Multitask Learners, 2019: d_model 768, d_ff 3072"
_BERT = "Devlin et al., BERT, 2019: BERT-base, hidden size 768, feed-forward 3072, sequences of 512"
# 32 heads of 128 for queries, 8 for keys and as many for values: 4096 + 2 · 1024 columns in one product.
_LLAMA = (
    "Grattafiori et al., The Llama 3 Herd of Models, 2024, table 3: 8B, width 4096, 8 key-value heads, hidden 14336"
)

_PRESETS = (
    Preset(
        "squares",
        "squares, with 768 and 1000 between the powers of two, where some kernels dip",
        _squares(16, 32, 64, 128, 256, 512, 768, 1000, 1024, 1536, 2048),
    ),
    Preset("small", "squares where the call costs more than the product", _squares(2, 4, 8, 16, 32, 64)),
    Preset("skinny", "many rows, few columns", (Shape(4096, 16, 512), Shape(4096, 64, 512), Shape(16384, 32, 128))),
    Preset(
        "fat",
        "few rows, many columns, and long sums",
        (Shape(16, 4096, 512), Shape(64, 4096, 512), Shape(64, 64, 16384)),
    ),
    Preset(
        "gemv",
        "one, two and four rows against a matrix, as in decoding a token at a time",
        tuple(Shape(m, n, n) for n in (1024, 4096) for m in (1, 2, 4)),
    ),
    Preset("gpt2", "the products of a GPT-2 (124M) layer, 1024 tokens", _layer(1024, 768, 2304, 3072), _GPT2),
    Preset("bert-base", "the products of a BERT-base layer, 512 tokens", _layer(512, 768, 2304, 3072), _BERT),
    Preset("llama3-8b", "the products of a Llama 3 8B layer, 512 tokens", _layer(512, 4096, 6144, 14336), _LLAMA),
    Preset("llama3-8b-decode", "the same for one token", _layer(1, 4096, 6144, 14336), _LLAMA),
)
PRESETS = {preset.name: preset for preset in _PRESETS}
