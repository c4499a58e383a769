"""Presets: what people ask about is there, and its dimensions are those of its source."""

from __future__ import annotations

import pytest

from gemmscope.measure.settings import make_settings
from gemmscope.workload.presets import PRESETS
from gemmscope.workload.shapes import Shape


def settings_for(*shapes):
    return make_settings(
        sizes=None, shapes=shapes, backends=None, threads=None, pairs=10, sets=5, seconds=1.0, margin=0.01, seed=0
    )


def test_a_preset_stands_for_its_shapes():
    assert settings_for("gemv", "2x3x4").shapes == [*map(str, PRESETS["gemv"].shapes), "2x3x4"]


def test_squares_have_sizes_between_the_powers_of_two():
    assert {Shape(768, 768, 768), Shape(1000, 1000, 1000)} <= set(PRESETS["squares"].shapes)


def test_gemv_has_one_two_and_four_rows():
    assert {shape.m for shape in PRESETS["gemv"].shapes} == {1, 2, 4}


@pytest.mark.parametrize("name", ["gpt2", "bert-base", "llama3-8b", "llama3-8b-decode"])
def test_layers_have_a_source_and_fit_together(name):
    preset = PRESETS[name]
    assert preset.source
    qkv, output, up, down = preset.shapes
    assert qkv.k == output.n == output.k == up.k == down.n
    assert up.n == down.k
    assert len({shape.m for shape in preset.shapes}) == 1


def test_names_are_no_shapes_and_shapes_are_named_once():
    for name, preset in PRESETS.items():
        assert not name[0].isdigit()
        assert len(set(preset.shapes)) == len(preset.shapes)
