"""Does ``gemmscope fleet`` name the slow device, and none where all are equal? Runs with and without a competing load.

    python bench/truth_fleet.py run --runs 20 --seconds 25 --out truth_fleet.jsonl    # go on with the same command
    python bench/truth_fleet.py run --devices cpu:0,cpu:1 --runs 4 --seconds 10       # processors stand in for GPUs
    python bench/truth_fleet.py table truth_fleet.jsonl

In half of the runs, in random order, a small load competes for one device, for each device as often. How large it is is
not taken from the load: a clock of its own, a plain program that multiplies, times the device with the load switched on
and off in turn. The rate of the load is set by it before the first run, on all devices at the same time, and what it
achieved is measured again after each planted run. The load starts while gemmscope's workers do; a run in which it was
not on before the first window is not recorded. Each run is printed and kept as it ends.

The same samples are judged by two rules beside ours, as scripts have them: "10 % of best", a device whose mean time is
more than 10 % above the best device's; "one sigma", a device whose mean time is above the mean of its peers' samples
by more than one standard deviation of these.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import click
import msgspec

from gemmscope.analysis.statistics import ratio_interval
from gemmscope.machine.devices import named
from gemmscope.records.base import Interval
from gemmscope.storage.fleet_store import load_fleet

sys.path.insert(0, str(Path(__file__).parent))  # the other scripts stand beside this one, wherever that is
from common.intervals import clopper_pearson

if TYPE_CHECKING:
    from gemmscope.records.fleet import FleetRun

_FILE = click.Path(path_type=Path, dir_okay=False)
_LOAD = Path(__file__).with_name("planted_load.py")
# Bursts a second to begin with; the clock corrects them.
_FIRST_RATE = {"cpu": 40.0, "gpu": 20.0}
_MOST_CORRECTION = 8.0
_ROUNDS_OF_CORRECTION = 2
_BLOCK_SECONDS = 0.4
# What a calibration takes, and what a run takes besides its budget: with room to spare.
_CALIBRATION_SECONDS, _REST_SECONDS = 30.0, 20.0
# Runs in a row that may fail: what keeps more of them from being made is no accident.
_MOST_FAILED = 1
# What gemmscope fleet says when its workers are there, and the first windows are next.
_MEASURING = "measuring "
_OURS, _TEN, _SIGMA = "gemmscope", "10 % of best", "one sigma"


class Calibration(msgspec.Struct, frozen=True, tag="calibration"):
    """The rate of bursts with which the load slows a device by the nominal share, and what it then achieved."""

    device: str
    per_cent: float
    rate: float
    achieved: Interval


class Trial(msgspec.Struct, frozen=True, tag="trial"):
    """One run: where the load was (empty: nowhere), what it achieved by the clock, and whom each rule named.

    ``measured`` is what gemmscope says of the planted device, or of the first without a plant: its time relative to its
    peers'. ``text`` is its sentence.
    """

    number: int
    device: str
    per_cent: float
    achieved: Interval | None
    measured: Interval | None
    named: dict[str, list[str]]
    seconds: float
    text: str = ""


class Program:
    """A program of planted_load.py, which answers lines with JSON. It starts by itself; a line waits until it has."""

    def __init__(self, role: str, device: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_LOAD), role, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._is_ready = False

    def wait(self) -> None:
        """Returns once it is ready."""
        if not self._is_ready:
            self._answer()
            self._is_ready = True

    def ask(self, line: str) -> dict[str, Any]:
        """Sends a line, and waits for the answer."""
        self.tell(line)
        return self._answer()

    def tell(self, line: str) -> None:
        """Sends a line that is not answered, once it is ready."""
        self.wait()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException(f"{' '.join(map(str, self._process.args[1:]))} ended")  # type: ignore[index]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def slow_down(clock: Program, load: Program, rate: float, pairs: int) -> Interval:
    """By what factor the load slows a device: the clock with it and without, in pairs of blocks in both orders."""
    ratios: list[float] = []
    for pair in range(pairs):
        times: dict[bool, float] = {}
        for on in (True, False) if pair % 2 else (False, True):
            if on:
                load.tell(f"on {rate}")
            times[on] = clock.ask(f"time {_BLOCK_SECONDS}")["seconds"]
            if on:
                load.ask("off")
        ratios.append(times[True] / times[False])
    return ratio_interval(ratios)


def calibrated(device: str, per_cent: float, clock: Program) -> Calibration:
    """Finds the rate with which the load slows the device by about so many per cent."""
    target = math.log1p(per_cent / 100)
    rate = _FIRST_RATE[device.partition(":")[0]] * per_cent / 2
    with Program("load", device) as load:
        load.wait()
        clock.ask("time 1")
        for _ in range(_ROUNDS_OF_CORRECTION):
            achieved = math.log(slow_down(clock, load, rate, 6).estimate)
            factor = target / achieved if achieved > 0 else _MOST_CORRECTION
            rate *= min(max(factor, 1 / _MOST_CORRECTION), _MOST_CORRECTION)
        return Calibration(device, per_cent, rate, slow_down(clock, load, rate, 8))


def planned(runs: int, devices: list[str], seed: int) -> list[str]:
    """The device of each run's plant, empty for none: every second run in a random order, each device as often."""
    plants = [devices[i % len(devices)] for i in range(runs // 2)]
    plan = [*plants, *[""] * (runs - len(plants))]
    random.Random(f"{seed}/{runs}").shuffle(plan)
    return plan


class Fleet:
    """A run of ``gemmscope fleet --json``, with the second at which it began to measure."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._errors: list[str] = []
        self.measuring = math.inf
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith(_MEASURING):
                self.measuring = min(self.measuring, perf_counter())
            self._errors.append(line)

    def said(self) -> dict[str, Any]:
        """What it printed, once it has ended.

        Raises:
            click.ClickException: If that is nothing.
        """
        assert self._process.stdout is not None
        printed = self._process.stdout.read()
        status = self._process.wait()
        self._listener.join()
        # A page that could not be drawn is a failure, too; by then the answer is printed.
        if not printed.strip():
            raise click.ClickException(f"gemmscope fleet ended with {status}: {''.join(self._errors).strip()[-500:]}")
        said: dict[str, Any] = json.loads(printed)
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # nothing where it has ended
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


def make_trial(
    number: int, device: str, rate: float, per_cent: float, clock: Program | None, command: list[str]
) -> Trial:
    """One run of gemmscope itself, with the load on a device or without one."""
    start = perf_counter()
    achieved: Interval | None = None
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        out = Path(folder, "out")
        fleet = stack.enter_context(Fleet([*command, "--out", str(out), "--json"]))
        load = stack.enter_context(Program("load", device)) if device else None
        loaded = -math.inf
        if load is not None:
            load.tell(f"on {rate}")
            loaded = perf_counter()
        said = fleet.said()
        if loaded > fleet.measuring:
            raise click.ClickException(f"the load began {loaded - fleet.measuring:.1f} s after the first window")
        if load is not None and clock is not None:
            load.ask("off")
            clock.ask("time 0.5")
            achieved = slow_down(clock, load, rate, 5)
        run = load_fleet(out / "fleet.json")
    return Trial(number, device, per_cent if device else 0.0, achieved, *judged(said, run, device),
                 seconds=perf_counter() - start, text=" ".join(one["text"] for one in said["stragglers"]))  # fmt: skip


def judged(said: dict[str, Any], run: FleetRun, device: str) -> tuple[Interval | None, dict[str, list[str]]]:
    """What gemmscope says of the device, and whom each rule names."""
    members = [one["device"] for one in said["members"]]
    about = members.index(device) if device in members else 0
    compute = run.settings.compute
    own = [one["ratio"] for one in said["deviations"]
           if one["member"] == about and f"{one['m']}x{one['n']}x{one['k']}" == compute]  # fmt: skip
    measured = msgspec.convert(own[0], Interval) if own else None
    names = {_OURS: [members[one["member"]] for one in said["stragglers"]]}
    return measured, names | simple_rules(run)


def simple_rules(run: FleetRun) -> dict[str, list[str]]:
    """Whom the two simple rules name, by the same samples at arithmetic while all devices were at work."""
    times: dict[str, list[float]] = {}
    for turn in run.turns:
        if turn.together and str(turn.shape) == run.settings.compute:
            times.setdefault(run.devices[turn.device].name, []).extend(one.seconds / one.loops for one in turn.samples)
    means = {name: statistics.fmean(values) for name, values in times.items()}
    best = min(means.values())
    sigma: list[str] = []
    for name, mean in means.items():
        peers = [value for other, values in times.items() if other != name for value in values]
        if mean > statistics.fmean(peers) + statistics.stdev(peers):
            sigma.append(name)
    return {_TEN: [name for name, mean in means.items() if mean > 1.1 * best], _SIGMA: sigma}


# --- The table -------------------------------------------------------------------------------------------------------


def table(records: list[Calibration | Trial]) -> str:
    """What became of all runs, as Markdown."""
    trials = [one for one in records if isinstance(one, Trial)]
    planted, without = [one for one in trials if one.device], [one for one in trials if not one.device]
    lines = [
        "| rule | planted: the device named | planted: another named | none planted: any named |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {rule} | {_share([one.device in one.named[rule] for one in planted])} | "
        f"{_share([bool(set(one.named[rule]) - {one.device}) for one in planted])} | "
        f"{_share([bool(one.named[rule]) for one in without])} |"
        for rule in (_OURS, _TEN, _SIGMA)
    ]
    lines += ["", "| load | nominal | achieved, by the clock | gemmscope measured |", "| --- | --- | --- | --- |"]
    for device in dict.fromkeys(one.device for one in planted):
        those = [one for one in planted if one.device == device]
        achieved = [one.achieved.estimate for one in those if one.achieved]
        measured = [one.measured.estimate for one in those if one.measured]
        lines.append(f"| {device} | {those[0].per_cent:g} % | {_per_cents(achieved)} | {_per_cents(measured)} |")
    if unplanted := [one.measured.estimate for one in without if one.measured]:
        lines.append(f"| none | | | {_per_cents(unplanted)} |")
    return "\n".join(lines)


def _share(those: list[bool]) -> str:
    if not those:
        return "no runs"
    low, high = clopper_pearson(sum(those), len(those))
    return f"{sum(those)} of {len(those)} [{100 * low:.0f}%, {100 * high:.0f}%]"


def _per_cents(ratios: list[float]) -> str:
    shares = sorted(100 * (ratio - 1) for ratio in ratios)
    if not shares:
        return "not measured"
    return f"{statistics.median(shares):+.2f} % ({shares[0]:+.2f} to {shares[-1]:+.2f})"


def read(file: Path) -> list[Calibration | Trial]:
    """The records of an earlier part; a last line that was cut off is left out."""
    if not file.exists():
        return []
    found: list[Calibration | Trial] = []
    for line in file.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Calibration | Trial))
        except msgspec.MsgspecError:
            break
    return found


@click.group()
def main() -> None:
    """Is the slow device of a host named, and none where all are equal?"""


@main.command("run")
@click.option("--devices", default="gpu", show_default=True, help="As for gemmscope fleet.")
@click.option("--runs", type=click.IntRange(min=2), default=20, show_default=True, help="With and without a plant.")
@click.option("--seconds", default=25.0, show_default=True, help="Of each run of gemmscope fleet.")
@click.option("--per-cent", default=2.0, show_default=True, help="How much slower the load should make a device.")
@click.option("--margin", default="1%", show_default=True, help="As for gemmscope fleet.")
@click.option("--stop-after", type=float, help="Begin no run that would end later than after so many seconds.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=_FILE, default=Path("truth_fleet.jsonl"), show_default=True)
def run_command(
    devices: str, runs: int, seconds: float, per_cent: float, margin: str, stop_after: float | None, seed: int,
    out: Path,
) -> None:  # fmt: skip
    """Make the runs that are not in the file yet, and print the table."""
    begun = perf_counter()
    names = [device.name for device in named(devices.split(","))]
    if len(names) < 2:
        raise click.UsageError(f"a fleet has two devices or more; there is {names[0]} alone")
    records = read(out)
    out.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    done = {one.number for one in records if isinstance(one, Trial)}
    rates = {one.device: one.rate for one in records if isinstance(one, Calibration)}
    command = [sys.executable, "-m", "gemmscope", "fleet", "--devices", ",".join(names), "--seconds", str(seconds),
               "--margin", margin]  # fmt: skip
    with ExitStack() as stack, out.open("ab") as file:

        def keep(record: Calibration | Trial) -> None:
            records.append(record)
            file.write(msgspec.json.encode(record) + b"\n")
            file.flush()

        # One on each device, also where it has nothing to do: what is seen of the devices is then the same.
        clocks = {name: stack.enter_context(Program("clock", name)) for name in names}
        plan = planned(runs, names, seed)
        missing = sorted({device for number, device in enumerate(plan) if device and number not in done} - rates.keys())
        if missing and stop_after is not None and stop_after < _CALIBRATION_SECONDS + seconds:
            raise click.UsageError(f"--stop-after {stop_after:g}: the load is set in {_CALIBRATION_SECONDS:g} s first")
        for clock in clocks.values():
            clock.wait()
        # All at once, as the fleet is measured.
        with ThreadPoolExecutor(max(1, len(missing))) as pool:
            for found in pool.map(lambda device: calibrated(device, per_cent, clocks[device]), missing):
                keep(found)
                rates[found.device] = found.rate
                slower = 100 * (found.achieved.estimate - 1)
                click.echo(f"{found.device}: {found.rate:.1f} bursts/s slow it by {slower:.2f} %")
        failed = 0
        for number, device in enumerate(plan):
            if number in done:
                continue
            if stop_after is not None and perf_counter() - begun + seconds + _REST_SECONDS > stop_after:
                click.echo("The time is up; go on with the same command.")
                break
            try:
                trial = make_trial(number, device, rates.get(device, 0.0), per_cent, clocks.get(device), command)
            except click.ClickException as error:
                click.echo(f"{number}: not recorded, and made again by the same command: {error.format_message()}")
                failed += 1
                if failed > _MOST_FAILED:
                    raise click.ClickException(f"{failed} runs in a row were not recorded") from error
                continue
            failed = 0
            keep(trial)
            click.echo(
                f"{number}: load on {device or 'none'}; named: {trial.named}; {trial.seconds:.0f} s; {trial.text}"
            )
    click.echo(table(records))


@main.command("table")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def table_command(file: Path) -> None:
    """Print the table of runs that were made."""
    click.echo(table(read(file)))


if __name__ == "__main__":
    main()
