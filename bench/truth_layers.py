"""Are the parts of a call true? Delays that were planted in one layer, and a clock inside MLX's own call.

    python bench/truth_layers.py
    python bench/truth_layers.py --seconds 120 --size 64

For each layer and delay: by how much gemmscope says that each part of the call is longer than without it, with the
interval over sets. It should be the delay in that layer, and nothing in the others, within a tenth or 0.2 µs. Linux
only: the kernel's and the runtime's delays are planted by LD_PRELOAD.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

import gemmscope
from gemmscope.analysis.statistics import set_differences, set_medians, t_interval

sys.path.insert(0, str(Path(__file__).parent))  # the planted backends stand beside this script, wherever that is
from planted_layers import DELAYS, name_of

if TYPE_CHECKING:
    from gemmscope.records.model import Cell, Result

    BySet = dict[int, float]

# From the outside in: each part is the time of one entry less that of the next; the last is the kernel.
MLX = (("binding", "call"), ("runtime", "cpp"), ("kernel", "kernel"))
NUMPY = (("allocation", "made"), ("binding", "out"), ("kernel", "numpy-kernel"))

# How near a part's change must be to the planted delay, or to nothing.
TOLERANCE_SHARE, TOLERANCE_SECONDS = 0.10, 0.2e-6


class Change(msgspec.Struct, frozen=True):
    """By how many seconds a part is longer where a delay was planted, and whether that is what it should be."""

    layer: str
    delay: float
    part: str
    seconds: float
    low: float
    high: float
    right: bool


class Plant(NamedTuple):
    """A delay in a layer, and the chain of calls that it lies in."""

    chain: tuple[tuple[str, str], ...]
    layer: str
    delay: int

    def name(self, entry: str) -> str:
        """The backend of an entry, with the delay where it reaches that entry."""
        order = [part for part, _ in self.chain]
        at = [name for _, name in self.chain].index(entry)
        return name_of(entry, self.layer, self.delay) if at <= order.index(self.layer) else name_of(entry)

    def plain(self, entry: str) -> str:
        """The same backend without a delay. Where it lies in a function around the call, that function remains."""
        with_delay = self.name(entry)
        wrapped = self.layer in ("binding", "allocation") and with_delay != name_of(entry)
        return name_of(entry, self.layer, 0) if wrapped else name_of(entry)


PLANTS = [
    *(Plant(MLX, layer, delay) for layer in ("kernel", "runtime") for delay in DELAYS),
    *(Plant(NUMPY, layer, delay) for layer in ("binding", "allocation") for delay in DELAYS),
]


def measure(size: int, seconds: float, sets: int, seed: int) -> Result:
    """One run with all chains in one worker."""
    names = [name_of(entry) for chain in (MLX, NUMPY) for _, entry in chain]
    names += [name(entry) for plant in PLANTS for _, entry in plant.chain for name in (plant.plain, plant.name)]
    with tempfile.TemporaryDirectory() as folder:
        return gemmscope.run(
            sizes=[size], backends=list(dict.fromkeys([*names, "layers-stamped"])), threads=1, seconds=seconds,
            sets=sets, seed=seed, backend_files=[Path(__file__).with_name("planted_layers.py")],
            out=Path(folder) / "run",
        )  # fmt: skip


def changes(result: Result) -> list[Change]:
    """For each planted delay, how much longer each part of its chain became."""
    cells = {cell.backend: cell for cell in result.cells if cell.mode == "latency"}
    found: list[Change] = []
    for plant in PLANTS:
        # Each call against itself without the delay, paired in time; then the parts are differences of these.
        longer = [longer_by(cells[plant.name(entry)], cells[plant.plain(entry)]) for _, entry in plant.chain]
        for i, (part, _) in enumerate(plant.chain):
            inside = longer[i + 1] if i + 1 < len(longer) else dict.fromkeys(longer[i], 0.0)
            sets = sorted(longer[i].keys() & inside.keys())
            mean, low, high = t_interval([longer[i][set_] - inside[set_] for set_ in sets])
            delay = plant.delay / 1e9
            wanted = delay if part == plant.layer else 0.0
            right = abs(mean - wanted) <= max(TOLERANCE_SHARE * delay, TOLERANCE_SECONDS)
            found.append(Change(plant.layer, delay, part, mean, low or mean, high or mean, right))
    return found


def longer_by(planted: Cell, plain: Cell) -> BySet:
    """By how many seconds a call is longer with a delay in it, in each set."""
    if planted is plain:
        return dict.fromkeys(set_medians(plain.samples), 0.0)
    return set_differences(planted.samples, plain.samples)


def table(found: list[Change]) -> str:
    """The changes as Markdown: a row for each planted delay, a column for each part."""
    columns = ("kernel", "runtime", "binding", "allocation")
    lines = ["| planted in | delay | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 2)]
    for plant in PLANTS:
        row = {one.part: one for one in found if (one.layer, one.delay) == (plant.layer, plant.delay / 1e9)}
        texts = [in_words(row[part], own=part == plant.layer) if part in row else "" for part in columns]
        lines.append(f"| {plant.layer} | {plant.delay / 1000:g} µs | " + " | ".join(texts) + " |")
    right = sum(one.right for one in found)
    lines += ["", f"{right} of {len(found)} are within a tenth of the delay or 0.2 µs of what they should be."]
    return "\n".join(lines)


def in_words(change: Change, *, own: bool) -> str:
    """A change in microseconds with its interval; bold in the layer where the delay is, and marked where it is off."""
    text = f"{1e6 * change.seconds:.2f} [{1e6 * change.low:.2f}, {1e6 * change.high:.2f}]"
    return ("**" + text + "**" if own else text) + ("" if change.right else " (off)")


def clock(result: Result) -> str:
    """The isolated kernel beside the one inside MLX's real call, by the probe's own clock."""
    cells = {cell.backend: cell for cell in result.cells if cell.mode == "latency"}
    isolated, stamped = cells[name_of("kernel")], cells["layers-stamped"]
    differences = set_differences(stamped.samples, isolated.samples)
    mean, low, high = t_interval(list(differences.values()))
    first, second = (1e6 * cell.seconds.estimate for cell in (isolated, stamped) if cell.seconds is not None)
    return (
        f"The kernel by itself takes {first:.2f} µs, inside MLX's own call {second:.2f} µs by the clock of the probe: "
        f"{1e6 * mean:+.2f} [{1e6 * (low or mean):.2f}, {1e6 * (high or mean):.2f}] µs."
    )


@click.command(help=__doc__.partition("\n")[0])
@click.option("--size", type=click.IntRange(min=1), default=16, show_default=True, help="M = N = K.")
@click.option("--seconds", type=click.FloatRange(min=1), default=90.0, show_default=True, help="Time budget.")
@click.option("--sets", type=click.IntRange(min=2), default=8, show_default=True, help="Sets of fresh processes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def main(size: int, seconds: float, sets: int, seed: int, as_json: bool) -> None:
    """Measures and prints; exit status 1 if a delay was not found, or found elsewhere."""
    result = measure(size, seconds, sets, seed)
    failed = [f"{record.name}: {record.reason}" for record in result.backends if record.status != "ok"]
    if failed:
        raise click.ClickException("; ".join(failed))
    found = changes(result)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        click.echo(f"{size}x{size}x{size}, {result.settings.sets} sets, {seconds:g} s; change of each part in µs\n")
        click.echo(table(found))
        click.echo("\n" + clock(result))
    sys.exit(0 if all(one.right for one in found) else 1)


if __name__ == "__main__":
    main()
