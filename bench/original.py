"""The comparison that gemmscope began with, and the switches that its description leaves open.

    python bench/original.py --copies
    python bench/original.py --no-sync --sizes 64,256,1024

``gemmscope run --preset original`` makes it with the likely choices, with gemmscope's own figures beside it. Where MLX
has no fast BLAS for the cpu (Linux), its ten calls at 2048 take most of a minute.
"""

from __future__ import annotations

import json

import click

from gemmscope.backends import loading
from gemmscope.errors import BackendUnavailable, GemmscopeError
from gemmscope.measure.defaults import ORIGINAL_SIZES
from gemmscope.measure.original import Protocol, means
from gemmscope.records.model import ORIGINAL
from gemmscope.report.original import document, rows
from gemmscope.report.output import Console
from gemmscope.report.terminal import print_document
from gemmscope.workload import spans


def available() -> list[str]:
    """Those of the five that can run here; the others are named on standard error, with the reason."""
    found = []
    for name in ORIGINAL:
        try:
            loading.load("")[name]().probe()
            found.append(name)
        except BackendUnavailable as error:
            click.echo(f"{name} is not here: {error.reason}", err=True)
    return found


def sizes_from(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[int]:
    """The sizes of an option such as ``64,256``."""
    if text is None:
        return list(ORIGINAL_SIZES)
    try:
        sizes = spans.sizes(text)
    except GemmscopeError as error:
        raise click.BadParameter(str(error)) from None
    if not sizes or min(sizes) < 1:
        raise click.BadParameter(f"{text!r}: write whole numbers above 0 with commas between, such as 64,256")
    return sizes


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", callback=sizes_from, help="M = N = K.  [default: 64 to 2048, doubling]")
@click.option("--pairs", type=click.IntRange(min=1), default=10, show_default=True, help="Distinct pairs a size.")
@click.option("--copies/--no-copies", default=False, show_default=True, help="Time the copies from and to the host.")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Wait for every call. Without it MLX and GPUs only accept the work.")  # fmt: skip  # noqa: E501
@click.option("--warm-up", type=click.IntRange(min=0), default=0, show_default=True, help="Untimed calls first.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def main(sizes: list[int], pairs: int, copies: bool, sync: bool, warm_up: int, seed: int, as_json: bool) -> None:
    """Measures and prints."""
    protocol = Protocol(
        backends=available(), sizes=sizes, pairs=pairs, seed=seed, copies=copies, sync=sync, warm_up=warm_up
    )
    try:
        made = rows(means(protocol), None)
    except GemmscopeError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([row._asdict() for row in made], indent=1))
    else:
        print_document(document(made, protocol, beside=False), Console())


if __name__ == "__main__":
    main()
