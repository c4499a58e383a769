"""The real program on real input: what a user types, and what happens when things go wrong in the middle."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

import gemmscope
from gemmscope.analysis.view import View, without_experiments
from gemmscope.records.events import SamplesTaken, SetFinished
from gemmscope.report.charts import NoDataError, RunData, pictures
from gemmscope.storage import store
from gemmscope.storage.journal import Journal, read_journal
from tests.typed import typed

pytestmark = pytest.mark.slow

GEMMSCOPE = [sys.executable, "-m", "gemmscope"]
SEVEN = "numpy-cpu,numpy-cpu:out,cblas,cblas-call,mlx-cpu,mlx-cpp-cpu,torch-cpu"


def environment(**more):
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")} | more


# Nothing takes so long, on a machine however busy: what has not ended by then hangs.
LONG = 600


def gemmscope_(*arguments, timeout=LONG, **more):
    return subprocess.run(
        [*GEMMSCOPE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, env=environment(**more)
    )


def heed_all_signals():
    """Whoever runs the tests may ignore some signals, as nohup does; that is inherited."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Running:
    """The program while it runs, in a process group of its own."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*GEMMSCOPE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env=environment(), preexec_fn=heed_all_signals,  # noqa: PLW1509
        )  # fmt: skip

    def workers(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def finish(self, timeout=LONG):
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


def wait_for(condition, seconds=LONG):
    stop = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < stop, "it did not happen in time"
        time.sleep(0.05)


def sampled(folder, backend="cblas", count=1):
    """True when the journal holds so many turns of a backend."""
    path = Path(folder) / "journal.jsonl"
    if not path.exists():
        return False
    turns = [event for event in read_journal(path) if isinstance(event, SamplesTaken) and event.backend == backend]
    return len(turns) >= count


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run of seven backends on three shapes, as the issue of a user would ask for it.

    Of two sets, because so many are run however busy the machine is; and of two sizes so close that a call which was
    held up at the smaller one does not make the larger one look too slow.
    """
    folder = tmp_path_factory.mktemp("run") / "out"
    done = gemmscope_("run", "--sizes", "64,96", "--shape", "3x5x7", "--backends", SEVEN + ",torch-gpu,mlx-gpu",
                      "--seconds", "15", "--sets", "2", "--details", "--out", folder)  # fmt: skip
    return done, folder, gemmscope.load(folder)


def test_a_run_ends_well(finished):
    done, folder, result = finished
    assert done.returncode == 0, done.stderr
    assert result.status == "complete"
    assert {path.name for path in folder.iterdir()} == {"results.json", "journal.jsonl.gz", "report.html", "figures"}
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert drawn >= {"speed.svg", "speed.png", "speedup.svg", "speedup.png"}
    assert drawn == {
        f"{name}.{suffix}"
        for name, made in pictures(RunData(View(result))).items()
        if not isinstance(made, NoDataError)
        for suffix in ("svg", "png")
    }
    assert f"Results: {folder / 'results.json'}" in done.stderr
    assert f"Page: {folder / 'report.html'}" in done.stderr


def test_every_cell_is_right_and_measured_in_every_set(finished):
    _, _, result = finished
    # What the machine's own variables are suspected of may have been tried as well.
    asked = without_experiments(result).cells
    assert {(cell.backend, cell.m, cell.n, cell.k) for cell in asked if cell.mode == "latency"} == {
        (name, *shape) for name in SEVEN.split(",") for shape in [(64, 64, 64), (96, 96, 96), (3, 5, 7)]
    }
    for cell in asked:
        assert cell.status == "ok", cell
        assert cell.precision == "float32"
        assert cell.relative_error < 1e-6
        assert {sample.set for sample in cell.samples} >= {0, 1}
        assert cell.seconds.low <= cell.seconds.estimate <= cell.seconds.high
        assert cell.gflops > 0
        assert cell.threads > 0


def test_every_backend_is_compared_with_numpy(finished):
    _, _, result = finished
    for comparison in result.comparisons:
        assert comparison.baseline == "numpy-cpu"
        assert comparison.sets >= 2
        assert comparison.speedup == pytest.approx(1 / comparison.ratio.estimate)
    assert len({c.backend for c in result.comparisons if c.mode == "latency"}) == 6


def test_the_five_originals_have_a_row(finished):
    done, _, result = finished
    for name in ("numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu"):
        assert name in done.stdout
    for backend in result.backends:
        if backend.status == "unavailable":
            assert backend.reason
            assert backend.remedy
            assert backend.reason in " ".join(done.stdout.split())


def test_the_table_is_plain_where_there_is_no_terminal(finished):
    done, _, _ = finished
    assert "\x1b" not in done.stdout + done.stderr
    assert "64×64×64" in done.stdout


def test_samples_are_dated_and_do_not_overlap(finished):
    """One worker at work at a time: no sample begins before the one before it has ended."""
    _, _, result = finished
    samples = sorted((s for cell in result.cells for s in cell.samples), key=lambda sample: sample.start)
    for one, other in itertools.pairwise(samples):
        assert one.start + one.seconds <= other.start
    assert samples[-1].start + samples[-1].seconds < result.time_spent.total


def test_provenance_says_what_was_measured(finished):
    _, _, result = finished
    workers = {(worker.set, worker.library): worker for worker in result.workers}
    assert {library for _, library in workers} >= {"numpy", "torch", "mlx", "cblas"}
    assert len({worker.pid for worker in result.workers}) == len(result.workers), "fresh processes in every set"
    for number in range(2):
        worker = workers[number, "numpy"]
        assert worker.provenance["numpy"]
        assert worker.backends["numpy-cpu"]["alignment"] >= 16
        assert worker.backends["numpy-cpu"]["blas"]
    assert any("blas" in image for image in workers[0, "cblas"].provenance["images"])
    assert result.machine.cpu
    assert result.machine.memory_bytes > 0


def test_the_reference_workload_is_timed_in_every_set(finished):
    _, _, result = finished
    assert {sample.set for sample in result.reference.samples} >= {0, 1}
    assert result.reference.drift is not None


def test_a_report_is_made_again_from_the_file(finished):
    done, folder, _ = finished
    again = gemmscope_("report", folder / "results.json")
    assert again.returncode == 0
    assert again.stdout == done.stdout
    data = json.loads(gemmscope_("report", folder, "--json").stdout)
    assert data == json.loads((folder / "results.json").read_text())


def test_figures_are_drawn_again_from_the_file(finished, tmp_path):
    _, folder, _ = finished
    assert gemmscope_("report", folder, "--figures", tmp_path / "f").returncode == 0
    for name in ("speed.svg", "speedup.svg"):
        assert (tmp_path / "f" / name).read_bytes() == (folder / "figures" / name).read_bytes()


def test_the_page_is_made_again_from_the_file(finished, tmp_path):
    _, folder, _ = finished
    assert gemmscope_("report", folder, "--html", tmp_path / "page.html").returncode == 0
    assert (tmp_path / "page.html").read_bytes() == (folder / "report.html").read_bytes()


def test_what_is_shared_names_no_folder_of_its_maker(finished, tmp_path):
    _, folder, result = finished
    private = {str(Path(sys.prefix)), str(folder)}
    assert any(path in (folder / "results.json").read_text() for path in private)
    done = gemmscope_("report", folder, "--share", "--html", tmp_path / "page.html", "--json")
    for text in (done.stdout, (tmp_path / "page.html").read_text()):
        assert not any(path in text for path in private)
    (tmp_path / "results.json").write_text(done.stdout)
    shared = gemmscope.load(tmp_path)
    assert shared.cells == result.cells
    assert shared.findings == result.findings


def test_the_journal_says_the_same(finished):
    from gemmscope.analysis.assemble import assemble

    _, folder, result = finished
    assert gemmscope.Run.of(assemble(read_journal(folder / "journal.jsonl"))) == result


def test_a_folder_that_holds_a_run_is_left_alone(finished):
    _, folder, _ = finished
    before = (folder / "results.json").read_bytes()
    done = gemmscope_("run", "--sizes", "8", "--out", folder)
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert (folder / "results.json").read_bytes() == before


DOOMED = """
import os, signal, time
from gemmscope.backends.base import Backend

class Doomed(Backend):
    name = library = "doomed"
    device = "cpu"
    entry = "python"
    summary = "killed from outside once the journal has samples of it"

    def probe(self): pass
    def prepare(self, operands): self.pairs = operands.pairs
    def product(self, pair): return self.pairs[pair].a @ self.pairs[pair].b
    def run(self, loops, first):
        with open({journal!r}) as journal:
            if any('"samples"' in line and '"doomed"' in line for line in journal):
                os.kill(os.getpid(), signal.SIGKILL)
        start = time.perf_counter()
        for i in range(loops):
            self.product((first + i) % len(self.pairs))
        return time.perf_counter() - start
"""


def test_a_killed_worker_costs_only_its_own_cells(tmp_path):
    out = tmp_path / "out"
    file = tmp_path / "doomed.py"
    file.write_text(DOOMED.format(journal=str(out / "journal.jsonl")))
    done = gemmscope_("run", "--sizes", "64", "--backend-file", file, "--backends", "numpy-cpu,cblas,doomed",
                      "--seconds", "6", "--sets", "2", "--out", out)  # fmt: skip
    assert done.returncode == 1
    result = gemmscope.load(out)
    cells = {cell.backend: cell for cell in result.cells}
    assert cells["doomed"].status == "failed"
    assert "SIGKILL" in cells["doomed"].reason
    assert re.search("^- doomed failed at 64: .*SIGKILL", done.stdout, re.MULTILINE)
    assert cells["doomed"].samples, "what was measured is kept"
    for name in ("numpy-cpu", "cblas"):
        assert cells[name].status == "ok"
        assert {sample.set for sample in cells[name].samples} >= {0, 1}
    assert result.status == "complete"


def shorten(journal, seconds):
    """Gives a run that was cut off another budget."""
    start, *events = read_journal(journal)
    journal.unlink()
    with Journal(journal) as rewritten:
        rewritten(msgspec.structs.replace(start, settings=msgspec.structs.replace(start.settings, seconds=seconds)))
        for event in events:
            rewritten(event)


def test_nothing_outlives_a_killed_orchestrator_and_the_run_goes_on(tmp_path):
    out = tmp_path / "out"
    # So much time that it cannot have ended by itself before it is killed.
    run = Running("run", "--sizes", "64", "--backends", "numpy-cpu,cblas", "--seconds", "900", "--sets", "2",
                  "--out", out)  # fmt: skip
    wait_for(lambda: sampled(out, count=5))
    workers = run.workers()
    assert workers
    run.process.kill()
    run.process.communicate()
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    assert not (out / "results.json").exists()
    before = [s for e in read_journal(out / "journal.jsonl") if isinstance(e, SamplesTaken) for s in e.samples]

    shorten(out / "journal.jsonl", seconds=4.0)
    done = gemmscope_("run", "--resume", out)
    assert done.returncode == 0, done.stderr
    result = gemmscope.load(out)
    assert result.status == "complete"
    after = [s for cell in result.cells for s in cell.samples] + list(result.reference.samples)
    assert all(sample in after for sample in before), "no finished sample is lost"
    starts = [sample.start for sample in after]
    assert len(set(starts)) == len(starts), "and none is there twice"
    finished = [e for e in read_journal(out / "journal.jsonl") if isinstance(e, SetFinished)]
    assert len(finished) >= 2

    again = gemmscope_("run", "--resume", out)
    assert again.returncode == 0, "resuming a finished run measures nothing more"
    assert [s for cell in gemmscope.load(out).cells for s in cell.samples] == [
        s for cell in result.cells for s in cell.samples
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_writes_what_it_has(tmp_path, number):
    out = tmp_path / "out"
    run = Running("run", "--sizes", "64", "--backends", "numpy-cpu,cblas", "--seconds", "900", "--out", out)
    wait_for(lambda: sampled(out, count=3))
    workers = run.workers()
    os.killpg(run.process.pid, number)  # as a terminal does
    code, stdout, stderr = run.finish()
    assert code == 130
    assert "PARTIAL" in stdout
    assert f"'gemmscope report {out}'" in stdout
    assert str(out / "report.html") in stdout
    assert "--resume" in stderr
    result = gemmscope.load(out)
    assert result.status == "partial"
    assert any(cell.samples for cell in result.cells)
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))


def test_a_second_signal_does_not_cost_the_results(tmp_path):
    out = tmp_path / "out"
    run = Running("run", "--sizes", "64", "--backends", "numpy-cpu,cblas", "--seconds", "900", "--out", out)
    wait_for(lambda: sampled(out, count=3))
    for _ in range(3):
        os.kill(run.process.pid, signal.SIGINT)
        time.sleep(0.03)
    code, _, _ = run.finish()
    assert code == 130
    assert gemmscope.load(out).status == "partial"


def test_a_run_without_standard_streams(tmp_path):
    command = (
        f"{sys.executable} -m gemmscope run --sizes 8 --backends numpy-cpu --sets 2 --seconds 2 --out {tmp_path}/o"
    )
    done = subprocess.run(["sh", "-c", f"{command} <&- >&-"], stderr=subprocess.PIPE, timeout=LONG, env=environment())
    assert done.returncode == 0, done.stderr
    assert gemmscope.load(tmp_path / "o").status == "complete"


def test_a_run_in_python(tmp_path):
    seen = []
    result = gemmscope.run(sizes=[16], backends=["numpy-cpu", "cblas"], sets=2, seconds=2, out=tmp_path / "out",
                           experiments=0, observer=seen.append)  # fmt: skip
    assert result == gemmscope.load(tmp_path / "out")
    assert {cell.backend for cell in result.cells if cell.status == "ok"} == {"numpy-cpu", "cblas"}
    assert seen


def test_an_empty_shape_is_no_benchmark(tmp_path):
    done = typed("run", "--shape", "0x4x4", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "shape 0x4x4: there is no arithmetic in it to time" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_default_folder_names_date_and_machine(tmp_path):
    done = subprocess.run(
        [*GEMMSCOPE, "run", "--sizes", "8", "--backends", "cblas", "--sets", "1", "--seconds", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=LONG, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "gemmscope-results").iterdir()
    assert (folder / "results.json").exists()
    assert folder.name[:2] == "20"


def test_a_file_in_the_current_folder_does_not_stand_in_for_a_library(tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('a trap')")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("gemmscope")), "run", "--sizes", "8", "--backends", "numpy-cpu",
         "--sets", "1", "--seconds", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=LONG, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backends", "nampy-cpu"], "did you mean numpy-cpu"),
        (["--backends", "numpy-cpu:thread=1"], "has no option 'thread': did you mean threads? it has out,"),
        (["--backends", "numpy-cpu:blas=mlk"], "no BLAS is called 'mlk': did you mean mkl? write openblas,"),
        (["--shape", "64,gemvv"], "no preset 'gemvv': did you mean gemv?"),
        (["--backends", ""], "no backends"),
        (["--sizes", "sixty"], "expected one number such as 256"),
        (["--sizes", ""], "no shapes"),
        (["--shape", "2x3"], "MxNxK"),
        (["--sets", "0"], "sets is 0; expected at least 1"),
        (["--pairs", "-1"], "pairs is -1; expected at least 1"),
        (["--threads", "0"], "threads is 0; expected at least 1"),
        (["--seed", str(2**64)], "expected 0 to 2**63 - 1"),
        (["--seconds", "0"], "expected a number above 0"),
        (["--seconds", "nan"], "expected seconds such as 90"),
        (["--margin", "200%"], "expected a share"),
        (["--margin", "much"], "is no percentage: write 5% or 5"),
        (["--margin", "0.05"], "'0.05' may be 0.05 % or 5 %: write 0.05% or 5%"),
        (["--width", ".005"], "may be .005 % or 0.5 %"),
        (["--experiments", "0.25"], "write 0.25% or 25%"),
        (["--resume", "/nowhere"], "does not exist"),
        (["--what"], "No such option"),
    ],
)
def test_bad_usage_is_said_in_words(tmp_path, arguments, words):
    done = typed("run", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_in_memory_is_refused_before_it_is_taken(tmp_path):
    done = gemmscope_("run", "--sizes", "8,200000", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "10 pairs of operands in" in done.stderr
    assert "the largest shape is 200000x200000x200000" in done.stderr
    assert "GiB are free; ask for smaller shapes" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    done = gemmscope_("run", "--sizes", "8", "--out", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert "name another" in done.stderr


def test_a_journal_that_is_none_cannot_be_resumed(tmp_path):
    done = typed("run", "--resume", tmp_path)
    assert done.returncode == 2
    assert "journal.jsonl: cannot be read" in done.stderr
    (tmp_path / "journal.jsonl").write_text("{}\n")
    assert "is not an event of a run" in typed("run", "--resume", tmp_path).stderr


def test_backends_are_listed_with_their_remedies():
    found = {entry["backend"]["name"]: entry for entry in json.loads(gemmscope_("backends", "--json").stdout)}
    assert found["numpy-cpu"]["backend"]["status"] == "ok"
    assert {option["name"] for option in found["numpy-cpu"]["options"]} >= {"out", "threads"}
    for entry in found.values():
        assert entry["backend"]["status"] in ("ok", "unavailable")
        if entry["backend"]["status"] == "unavailable":
            assert entry["backend"]["reason"]
            assert entry["backend"]["remedy"]
    text = gemmscope_("backends").stdout
    assert all(name in text for name in found)


def test_runs_are_found_without_being_named(tmp_path):
    def say(*arguments):
        return subprocess.run([*GEMMSCOPE, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=LONG,
                              env=environment())  # fmt: skip

    assert "There is no run under gemmscope-results" in say("list").stdout
    for command in ("report", "explain", "compare"):
        done = say(command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no run under gemmscope-results" in done.stderr
    asked = ("--sizes", "8,16", "--backends", "numpy,cblas-call", "--sets", "2", "--seconds", "2s")
    run = ("run", *asked, "--experiments", "0")
    assert say(*run).returncode == 0
    assert "there is only 1 under gemmscope-results" in say("compare").stderr
    assert say(*run).returncode == 0
    assert say("report").stdout == say("report", str(gemmscope_store(tmp_path)[-1])).stdout
    compared = say("compare").stdout
    assert [path.parent.name in compared for path in gemmscope_store(tmp_path)] == [True, True]
    (tmp_path / "gemmscope-results" / "broken").mkdir()
    (tmp_path / "gemmscope-results" / "broken" / "results.json").write_text("{")
    (tmp_path / "gemmscope-results" / "cut").mkdir()
    (tmp_path / "gemmscope-results" / "cut" / "journal.jsonl").touch()
    listed = json.loads(say("list", "--json").stdout)
    assert [bool(one["headline"]) for one in listed if not one.get("reason")] == [True, True]
    assert [one["folder"] for one in listed if one.get("reason")] == [
        "gemmscope-results/broken",
        "gemmscope-results/cut",
    ]
    text = say("list").stdout
    assert "fastest" in text or "shortest time" in text
    assert "gemmscope run --resume gemmscope-results/cut" in text
    assert "is not a results file of gemmscope" in text


def gemmscope_store(folder):
    return store.runs(folder / "gemmscope-results")


def test_a_folder_with_a_journal_alone_is_reported(finished, tmp_path):
    _, folder, result = finished
    *lines, _ = gzip.decompress((folder / "journal.jsonl.gz").read_bytes()).splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines) + b'{"type":"half a li')
    done = gemmscope_("report", tmp_path)
    assert done.returncode == 0
    assert f"Go on with: gemmscope run --resume {tmp_path}" in done.stderr
    # What was tried as a remedy is told as one, not listed under its name.
    asked = without_experiments(result).cells
    assert all(cell.backend in done.stdout for cell in asked if cell.status == "ok")


def test_options_that_a_resumed_run_would_ignore_are_refused(tmp_path):
    (tmp_path / "journal.jsonl").write_text("")
    done = typed("run", "--resume", tmp_path, "--sizes", "64", "--seconds", "2m")
    assert done.returncode == 2
    assert "--resume goes on with the run's own settings: leave out --sizes, --seconds" in done.stderr
    assert "does not begin with the start of a run" in typed("run", "--resume", tmp_path, "--json").stderr


@pytest.mark.parametrize(("typed", "offered", "others"), [
    ("num", {"numpy", "numpy-cpu"}, {"torch"}),
    ("numpy,tor", {"numpy,torch", "numpy,torch-cpu", "numpy,torch-gpu"}, {"torch"}),
    ("torch-cpu:th", {"torch-cpu:threads"}, {"torch-cpu:out"}),
    ("nope", set(), {"numpy"}),
])  # fmt: skip
def test_names_complete_in_the_shell(typed, offered, others):
    asked = environment(
        _GEMMSCOPE_COMPLETE="bash_complete", COMP_WORDS=f"gemmscope run --backends {typed}", COMP_CWORD="3"
    )
    code = "from gemmscope.cli import main; main(prog_name='gemmscope')"
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, timeout=LONG)
    found = {line.partition(",")[2] for line in done.stdout.splitlines() if line}
    assert offered <= found
    assert not others & found
    assert bool(found) == bool(offered)


def test_a_run_is_a_line_where_it_is_printed(tmp_path):
    result = gemmscope.run(sizes=8, backends="numpy", sets=2, seconds="2s", experiments=0, out=tmp_path / "out")
    assert re.fullmatch(r"<Run of \d{4}-\d\d-\d\d on .*: 1 cell\. .*>", repr(result))


def test_a_report_of_what_is_no_results_file(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    done = typed("report", tmp_path / "x.json")
    assert done.returncode == 2
    assert "is not a results file of gemmscope" in done.stderr
    assert typed("report", tmp_path / "none.json").returncode == 2
