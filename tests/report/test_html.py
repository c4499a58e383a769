"""The page of a run: what stands in it, and, in a headless browser, how it behaves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from gemmscope.analysis.breakdown.overhead import Overhead
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.records.base import Interval
from gemmscope.records.diagnosis import Diagnosis
from gemmscope.records.model import ReferenceWorkload, Sample
from gemmscope.records.sharing import shared
from gemmscope.report import palette, trust
from gemmscope.report.html import page, write_page
from gemmscope.report.html.first_screen import _fading, heat_table, how_sure, is_command, overhead_sentence
from gemmscope.report.model import Report
from gemmscope.storage.store import save
from gemmscope.workload.shapes import Shape
from tests.builders import (
    make_backend,
    make_ceilings,
    make_cell,
    make_comparison,
    make_finding,
    make_interval,
    make_machine,
    make_part,
    make_result,
    make_sampled_cell,
    make_settings,
    make_worker,
)

EVIL = "<script>alert(1)</script>"
DESKTOP, PHONE = (1280, 900), (390, 844)
SIZES = (16, 64, 256, 1024)
FIGURES = ("speed", "speedup", "parts", "roofline")


def a_run(**changes):
    """Two libraries at three sizes, with all that a page can show."""
    cells, comparisons, parts = [], [], []
    for size in (16, 64, 256):
        seconds = 2 * size**3 / 50e9 + 1e-6
        cells += [
            make_cell("numpy-cpu", seconds, size), make_cell("mlx-cpu", 3 * seconds, size),
            make_cell("mlx-cpu", 2 * seconds, size, mode="throughput"), make_cell("mlx-cpu:tf32", seconds / 2, size),
            make_cell("null-python", 5e-7, size),
        ]  # fmt: skip
        comparisons += [
            make_comparison("mlx-cpu", 3.0, "slower", size),
            make_comparison("mlx-cpu", 2.0, "slower", size, mode="throughput"),
            make_comparison("mlx-cpu:tf32", 0.5, "faster", size),
        ]
        parts += [
            make_part("numpy-cpu", "kernel", seconds * 0.7, size),
            make_part("numpy-cpu", "binding", seconds * 0.2, size),
            make_part("numpy-cpu", "allocation", 1e-9, size, status="below resolution", resolution=2e-8),
        ]
    cells.append(make_cell("torch-cpu", None, 256, status="skipped", reason="one product would take 9 s"))
    gpu = make_backend("mlx-gpu", status="unavailable", reason="no gpu here", remedy="run on Apple silicon")
    fields = {
        "backends": [gpu],
        "parts": parts,
        "ceilings": make_ceilings(),
        "findings": [
            make_finding("numpy-cpu is fastest.", backends=["numpy-cpu"], shapes=["16x16x16", "64x64x64"]),
            make_finding("Little is overhead.", id="overhead", backends=["numpy-cpu"], shapes=["64x64x64"]),
            make_finding("The gpu is ahead.", id="claim-mlx-gpu", verdict="not testable", backends=["mlx-gpu"]),
            make_finding("The machine drifted.", id="drift"),
        ],
        "workers": [
            make_worker("numpy", set=0), make_worker("mlx", set=0),
            make_worker("mlx", set=1, provenance={"version": "2.5"}),
        ],
        "reference": ReferenceWorkload(shape="192x192x192", seconds=make_interval(3e-4), drift=0.01),
        "warnings": ["only 3 of 5 sets fitted"],
        "settings": make_settings("16x16x16", "64x64x64", "256x256x256", command="gemmscope run --out 'a  b'"),
    }  # fmt: skip
    return make_result(cells, comparisons, **fields | changes)


class TestFirstScreen:
    """What a reader sees without opening anything."""

    def first(self, result) -> str:
        html = page(result)
        return html[html.index("<header>") : html.index('<details class="fold"')]

    def test_the_title_names_processor_and_gpus(self):
        machine = make_machine(name="Example 9000, Linux", gpus=["NVIDIA H200", "NVIDIA H200"])
        html = page(a_run(machine=machine))
        title = re.search("<title>(.*)</title>", html)
        assert title is not None
        assert title[1] == "gemmscope: float32 matrix multiplication on Example 9000, Linux, with 2 NVIDIA H200"
        assert "· 2 NVIDIA H200 ·" in self.first(a_run(machine=machine))

    def test_the_gpu_of_a_chip_that_is_named_is_not_named_again(self):
        machine = make_machine(name="Apple M4 Pro, macOS", gpus=["Apple M4 Pro"])
        assert trust.machine_title(machine) == "Apple M4 Pro, macOS"

    def test_it_has_headline_date_versions_and_trust(self):
        headline = make_finding("numpy-cpu leads by far.", id="headline")
        workers = [make_worker("numpy", provenance={"numpy": "2.4.6"})]
        first = self.first(a_run(findings=[headline], workers=workers))
        assert re.sub("<[^>]*>", "", first[first.index("<h1>") : first.index("</h1>")]) == headline.text
        assert "2026-01-02" in first
        assert "numpy 2.4.6" in first
        assert re.search('<a class="chip (good|open|bad)" href="#trust">', first)

    def test_cells_have_time_speedup_mark_and_bar(self):
        table = heat_table(Report(a_run()))
        assert table is not None
        assert [shape.n for shape in table.shapes] == [16, 64, 256]
        rows = {row.backend: row for row in table.rows}
        numpy, mlx = rows["numpy-cpu"].cells[2], rows["mlx-cpu"].cells[2]
        assert (numpy.speedup, mlx.speedup) == ("1×", "0.33×")
        assert mlx.time == words.duration(3 * (2 * 256**3 / 50e9 + 1e-6))
        assert mlx.width == pytest.approx(numpy.width / 3, abs=0.1)
        assert mlx.step > numpy.step

    def test_what_is_missing_is_grey_with_the_reason(self):
        skipped = msgspec.structs.replace(make_cell("mlx-cpu", None, 1024, status="skipped", reason="too slow"))
        slow = msgspec.structs.replace(make_cell("torch-cpu", None, 1024, status="skipped"), estimate=9.0)
        result = a_run()
        cells = [*result.cells, make_cell("torch-cpu", 1e-5, 64), make_cell("numpy-cpu", 1e-2, 1024), skipped, slow]
        result = make_result(
            cells, result.comparisons, backends=[make_backend("mlx-gpu", status="unavailable", reason="no gpu here")]
        )
        table = heat_table(Report(result))
        assert table is not None
        rows = {row.backend: row for row in table.rows}
        assert rows["mlx-gpu"].reason == "no gpu here"
        assert rows["mlx-cpu"].cells[-1].status == "skipped"
        assert "mlx-cpu at 1024 skipped: too slow" in table.notes
        assert (rows["torch-cpu"].cells[-1].status, rows["torch-cpu"].cells[-1].time) == ("skipped", "≈ 9.00 s")
        assert rows["torch-cpu"].cells[0].status == "not measured"
        # Nothing says how it compares with the baseline there.
        assert (rows["torch-cpu"].cells[1].time, rows["torch-cpu"].cells[1].speedup) == ("10.0 µs", "")
        assert "no gpu here" in self.first(result)

    def test_variants_of_a_few_shapes_stand_in_the_tables_alone(self):
        cells = [make_cell("numpy-cpu", 1e-6 * size, size) for size in (64, 256)] + [make_cell("numpy-cpu:out", 1e-6)]
        settings = make_settings("64x64x64", "256x256x256", only_at={"numpy-cpu:out": ["64x64x64"]})
        table = heat_table(Report(make_result(cells, settings=settings)))
        assert table is not None
        assert [row.backend for row in table.rows] == ["numpy-cpu"]

    def test_the_legend_says_what_the_terminal_says_below_its_table(self):
        sizes = (64, 128, 256, 512, 1024)
        cells = [
            make_sampled_cell(name, [seconds * scale * size for scale in (1.0, 1.0001, 0.9999, 1.0, 1.0)], size=size)
            for size in sizes
            for name, seconds in (("numpy-cpu", 1e-8), ("torch-cpu", 2e-8), ("cblas-call", 1.5e-8))
        ]
        text = " ".join(re.sub("<[^>]*>", "", page(make_result(cells))).split())
        legend = "★ fastest, = tied with it. Bar: speed relative to the fastest."
        assert (
            f"{legend} cblas-call is gemmscope&#39;s own direct call from C++; the headline compares libraries." in text
        )
        few = " ".join(re.sub("<[^>]*>", "", page(make_result(cells[:6]))).split())
        assert "fastest, tied with it. Bar:" in few

    def test_overhead_is_one_sentence(self):
        parts = [make_part(name, "kernel", kernel, 64) for name, kernel in (("numpy-cpu", 7e-7), ("torch-cpu", 5e-7))]
        parts += [make_part(name, "kernel", 9.9e-4, 256) for name in ("numpy-cpu", "torch-cpu")]
        cells = [
            make_cell(name, seconds, size)
            for name in ("numpy-cpu", "torch-cpu")
            for size, seconds in ((64, 1e-6), (256, 1e-3))
        ]
        report = Report(make_result(cells, parts=parts))
        assert overhead_sentence(report).startswith(
            "Overhead, all of a call but its kernel, is 50 % of a call of torch-cpu and 30 % of a call of numpy-cpu"
        )
        assert overhead_sentence(Report(make_result(cells))) == ""

    def test_overhead_is_small_where_and_for_whom_it_was_taken_apart(self):
        def calls(**shares):
            return {
                name: [
                    Overhead(name, Shape(size, size, size), Interval(estimate=1), Interval(estimate=1 - share),
                             Interval(estimate=share, low=share - 0.01, high=share + 0.01), [])
                    for size, share in by_size.items()
                ]
                for name, by_size in shares.items()
            }  # fmt: skip

        both = {64: 0.3, 256: 0.05, 1024: 0.01}
        assert _fading(calls(a=both, b=both)) == "; at 256 and 1024 it is below 10 % for all of them"
        assert _fading(calls(a={64: 0.3, 1024: 0.01}, b={64: 0.3})) == "; at 1024 it is below 10 % for a"
        assert _fading(calls(a={64: 0.01}, b={64: 0.02})) == ""
        assert _fading(calls(a={64: 0.3, 1024: 0.2})) == ""

    def test_sentences_about_every_call_are_a_table(self):
        findings = [
            make_finding(f"{share} of a call is overhead.", id="overhead", backends=["numpy-cpu"]) for share in "ab"
        ]
        assert "<p>a of a call is overhead.</p>" not in page(a_run(findings=findings))
        assert 'id="calls"' in page(a_run(findings=findings))
        assert "<p>a of a call is overhead.</p>" in page(a_run(findings=findings, parts=[]))

    @pytest.mark.parametrize(
        ("open_", "drift", "word"),
        [(0, 0.0, "Settled"), (0, 0.2, "Mostly settled"), (1, 0.0, "Mostly settled"), (3, 0.0, "Not settled")],
    )
    def test_how_sure_it_is(self, open_, drift, word):
        comparisons = [
            msgspec.structs.replace(make_comparison("mlx-cpu", 2.0, "slower", 16 * 2**n), converged=n >= open_)
            for n in range(4)
        ]
        reference = ReferenceWorkload(shape="192x192x192", seconds=make_interval(3e-4), drift=drift)
        report = Report(msgspec.structs.replace(a_run(reference=reference, warnings=[]), comparisons=comparisons))
        assert how_sure(report).word == word

    def test_nothing_compared_is_not_called_settled(self):
        assert how_sure(Report(make_result([make_cell("numpy-cpu")]))).word == "Nothing compared"

    @pytest.mark.parametrize(
        ("remedy", "expected"),
        [
            ("LD_PRELOAD=$(gemmscope blas-shim) python your_program.py", True),
            ("unset OPENBLAS_CORETYPE", True),
            ("sudo cpupower frequency-set -g performance", True),
            ("wait once after many calls, or multiply in batches", False),
            ("stop them, or measure when they are idle", False),
        ],
    )
    def test_only_commands_are_for_pasting(self, remedy, expected):
        assert is_command(remedy) is expected

    def test_claims_come_last_of_all(self):
        html = page(a_run())
        assert html.index('id="claims"') > html.index('id="repeat"')
        assert html.index("The gpu is ahead.") > html.index('id="claims"')

    def test_a_page_to_share_names_no_folder(self):
        workers = [make_worker("numpy", provenance={"image": "/home/ann/env/lib/libblas.so"})]
        settings = make_settings("64x64x64", command="gemmscope run --out /home/ann/results")
        html = page(shared(a_run(workers=workers, settings=settings)))
        assert "ann" not in re.sub("<script.*?</script>", "", html, flags=re.DOTALL).split()
        assert "/home" not in html


class TestText:
    """What needs no browser."""

    def test_the_answer_comes_first_and_every_link_leads_somewhere(self):
        html = page(a_run())
        assert html.index("<h1>") < html.index('class="heat"') < html.index('id="figures"') < html.index('id="tables"')
        targets = re.findall(r'href="#([^"]+)"', html)
        ids = set(re.findall(r'id="([^"]+)"', html))
        assert len(targets) > 20
        assert set(targets) <= ids
        said = html[html.index("<h3>The answer</h3>") :]
        links = re.findall(r'href="#([^"]+)"', said[: said.index("</li>")])
        assert links == ["speed", "speedup", "shape-16x16x16", "shape-64x64x64"]

    def test_what_backends_reached_of_the_ceilings_is_said_and_leads_to_the_roofline(self):
        findings = [make_finding("The best rate seen is theirs.", id="ceilings", backends=["numpy-cpu"])]
        html = page(a_run(findings=findings))
        said = html[html.index("The best rate seen is theirs.") :]
        assert re.findall(r'href="#([^"]+)"', said[: said.index("</li>")]) == ["roofline"]
        reached = html[html.index("What each backend reached of them") :]
        rate = max(cell.gflops for cell in a_run().cells if cell.backend == "numpy-cpu")
        assert f"{100 * rate / make_ceilings().peak_gflops:.0f} % of the peak" in reached[: reached.index("</dl>")]
        assert "What each backend reached" not in page(a_run(ceilings=None))

    def test_a_finding_about_a_call_leads_to_its_bars(self):
        findings = [make_finding("Little is allocated.", id="allocation", backends=["numpy-cpu"], shapes=["64x64x64"])]
        html = page(a_run(findings=findings))
        said = html[html.index("Little is allocated.") :]
        (target,) = re.findall(r'href="#(call-[^"]+)"', said[: said.index("</li>")])
        call = html[html.index(f'id="{target}"') :]
        assert "numpy-cpu: kernel 70 % at 16, 70 % at 64 and 70 % at 256" in call[: call.index("</li>")]

    def test_without_findings_the_ranking_is_said(self):
        html = page(a_run(findings=[]))
        assert "<h1>Nothing was ranked.</h1>" in html
        said = html[html.index('id="findings"') : html.index('id="tables"')]
        assert "16×16×16: Fastest: mlx-cpu:tf32" in said

    def test_what_is_missing_is_said_with_reason_and_remedy(self):
        html = page(a_run())
        assert "unavailable: no gpu here" in html
        assert "run on Apple silicon" in html
        assert "one product would take 9 s" in html
        assert "only 3 of 5 sets fitted" in html

    def test_provenance_names_the_batches_that_differ(self):
        html = page(a_run())
        assert "libblas.so<br>libm.so" in html
        assert "batch 1: 2.4.6<br>batch 2: 2.5" in html

    def test_the_command_keeps_its_quotes_and_blanks(self):
        assert "<code>gemmscope run --out &#39;a  b&#39;</code>" in page(a_run())

    def test_a_command_is_made_where_none_was_given(self):
        settings = make_settings("8x8x8", backends=["numpy-cpu:out"], backend_files=["a b.py"], seconds=5, threads=2)
        html = page(a_run(settings=settings))
        assert (
            "gemmscope run --shape 8x8x8 --backends numpy-cpu:out --backend-file &#39;a b.py&#39; --threads 2 "
            "--pairs 10 --sets 5 --seconds 5 --margin 1% --width 0.5% --seed 0"
        ) in html

    def test_everything_from_the_file_is_escaped(self):
        cells = [make_cell(name, 1e-6 * scale) for scale, name in ((1, "numpy-cpu"), (2, EVIL), (3, '"><img src=x>'))]
        lost = make_cell(f"{EVIL}-lost", None, status="failed", reason=EVIL)
        html = page(
            make_result(
                [*cells, lost], [make_comparison(EVIL, 2.0, "slower", baseline=EVIL)], warnings=[EVIL],
                findings=[make_finding(EVIL, verdict=EVIL, backends=[EVIL], shapes=[EVIL])],
                parts=[make_part(EVIL, EVIL, 1e-7), make_part(EVIL, "kernel", None, status="unknown", reason=EVIL)],
                workers=[
                    make_worker(EVIL, provenance={EVIL: EVIL}, environment={EVIL: EVIL}, backends={EVIL: {EVIL: EVIL}})
                ],
                backends=[make_backend(f"{EVIL}-gone", status="failed", reason=EVIL, remedy=EVIL, library=EVIL)],
                ceilings=make_ceilings(instructions=EVIL, note=EVIL), gemmscope=EVIL, started=EVIL,
                settings=make_settings("64x64x64", EVIL, command=EVIL, backend_files=[EVIL]),
            )
        )  # fmt: skip
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        specifications = html.count('<script type="application/json"')
        assert html.count("<script>") == 2
        assert html.count("</script>") == html.count("<script") == 2 + specifications
        assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20

    def test_no_character_moves_what_stands_around_it(self):
        html = page(
            make_result([make_cell("a\u202eb\x1b[31m\nc"), make_cell("行列-cpu", 2e-6), make_cell("\ud800", 3e-6)])
        )
        assert "\u202e" not in html
        assert "\x1b" not in html
        assert "a b [31m c" in html
        assert "行列-cpu" in html

    def test_samples_stay_in_the_results(self, tmp_path):
        samples = [Sample(set=i % 5, round=i, turn=0, start=0.123456789 * i, first_pair=0, loops=7, seconds=1e-3) for i in range(20000)]  # fmt: skip  # noqa: E501
        save(make_result([make_cell("numpy-cpu", samples=samples)]), tmp_path / "results.json")
        write_page(make_result([make_cell("numpy-cpu", samples=samples)]), tmp_path / "report.html")
        assert (tmp_path / "results.json").stat().st_size > 2_000_000
        assert (tmp_path / "report.html").stat().st_size < 1_050_000

    def test_a_large_run_is_a_page_of_less_than_one_and_a_half_megabytes(self):
        cells = [make_cell(f"torch-cpu:threads={n}", 1e-6 * (n + 1) * size, size) for n in range(19) for size in SIZES]
        comparisons = [
            make_comparison(f"torch-cpu:threads={n}", n, "slower", size, baseline="torch-cpu:threads=0")
            for n in range(1, 19)
            for size in SIZES
        ]
        parts = [
            make_part(f"torch-cpu:threads={n}", part, 1e-7 * size, size)
            for n in range(6)
            for size in SIZES
            for part in ("kernel", "runtime", "allocation")
        ]
        html = page(make_result(cells, comparisons, parts=parts, ceilings=make_ceilings()))
        assert len(html.encode()) < 1_500_000

    def test_a_run_without_charts_has_no_script_and_says_why(self):
        html = page(make_result([]))
        assert "<script" not in html
        assert "script-src &#39;none&#39;" in html
        assert "Nothing was measured: the tables say why." in html

    def test_the_same_result_gives_the_same_page(self):
        assert page(a_run()) == page(a_run())

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot be written"):
            write_page(a_run(), tmp_path / "file" / "report.html")

    def test_the_report_is_made_without_a_framework(self, tmp_path):
        save(a_run(), tmp_path / "results.json")
        code = (
            "import sys; from gemmscope.cli import main\n"
            f"try: main(['report', {str(tmp_path)!r}, '--html', {str(tmp_path / 'sub' / 'r.html')!r}])\n"
            "except SystemExit as end: assert not end.code\n"
            "print(*{name.partition('.')[0] for name in sys.modules})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr
        assert "Written: " in done.stderr
        assert not {"torch", "mlx"} & set(done.stdout.splitlines()[-1].split())
        assert (tmp_path / "sub" / "r.html").read_text() == page(a_run())


UNUSUAL = {
    "no cells": make_result([]),
    "failures alone": make_result([make_cell("numpy-cpu", None, status="failed", reason="killed by signal 9")]),
    "one cell": make_result([make_cell("numpy-cpu")]),
    "one set": make_result([make_cell("numpy-cpu", spread=None), make_cell("cblas", 2e-6, spread=None)]),
    "cut off": make_result([make_cell("numpy-cpu")], status="partial"),
    "rectangles": make_result(
        [make_cell("numpy-cpu", 1e-6 * n, m=1, n=n, k=4096) for n in range(1000, 1020)]
        + [make_cell("cblas", 2e-6 * n, m=1, n=n, k=4096) for n in range(1000, 1020, 2)]
    ),
    "hardly any time": make_result(
        [
            msgspec.structs.replace(make_cell("numpy-cpu"), seconds=make_interval(float("inf")), gflops=None),
            make_cell("cblas", float("nan"), gflops=None),
        ]
    ),
    "worlds apart": make_result([make_cell("numpy-cpu", 1e-9), make_cell("cblas", 3e3, spread=0.999)]),
    "empty product among others": make_result([make_cell("numpy-cpu", size=size) for size in (0, 8, 64)]),
    "long shapes": make_result(
        [make_cell("numpy-cpu", m=16384, n=16384, k=16000 + n, relative_error=0.0) for n in range(30)]
    ),
    "empty product": make_result([make_cell("numpy-cpu", size=0)]),
    "unicode": make_result([make_cell("行列-cpu:ä=✓"), make_cell("𝔸" * 60, 2e-6)]),
    "many": make_result([make_cell(f"backend-{i}", 1e-6 * (i + 1), size) for i in range(30) for size in (8, 64)]),
}  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium on this machine to open the page with")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, headless=True, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a result's page; at the end of the test nothing may have been complained of, or asked of the network."""
    complaints, requests, contexts = [], [], []
    path: Path = tmp_path / "report.html"

    def shown(result, size=DESKTOP, scheme="light", unfolded=True, **more):
        write_page(result, path)
        contexts.append(browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce", **more
        ))  # fmt: skip
        opened = contexts[-1].new_page()
        opened.set_default_timeout(250_000)  # milliseconds: nothing takes so long, on a machine however busy
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("dialog", lambda dialog: complaints.append(dialog.message))
        opened.on("request", lambda request: requests.append(request.url))
        opened.goto(path.as_uri())
        if opened.locator("[data-chart]").count() and more.get("java_script_enabled", True):
            opened.wait_for_selector("html[data-drawn]")
        if unfolded:
            opened.evaluate("document.querySelectorAll('main > details').forEach(one => { one.open = true; })")
            if more.get("java_script_enabled", True):
                charts = opened.locator("[data-chart]").count()
                assert until(lambda: opened.locator("figure.live").count(), charts)
        return opened

    yield shown
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} <= {path.as_uri()}


def chart(opened, name):
    return opened.locator(f"#{name} .plot svg.marks")


def lines(opened, name="speed"):
    """The backends whose points are drawn, of all panels."""
    said = (
        chart(opened, name)
        .locator("[aria-roledescription='point']")
        .evaluate_all("points => points.map(point => point.ariaLabel)")
    )
    return {name for text in said for name in re.findall(r"backend: ([^;]+)", text)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_all_figures_are_there_and_nothing_overflows(show, size, scheme):
    opened = show(a_run(), size, scheme)
    for name in FIGURES:
        box = chart(opened, name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["width"] > 0.7 * min(size[0], 1120)
        assert box["height"] > 100
        assert not opened.locator(f"#{name} .still").is_visible()
    assert opened.evaluate("document.documentElement.scrollWidth") == size[0]
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 21, 28)")


def test_the_scheme_is_followed_while_the_page_is_open(show):
    opened = show(a_run())
    names = chart(opened, "speed").locator("text", has_text="GFLOP/s").first
    assert names.get_attribute("fill") == palette.GREY
    opened.emulate_media(color_scheme="dark")
    dark = palette.on_dark([])[palette.GREY]
    opened.locator(f"#speed .plot text[fill='{dark}']").first.wait_for()


@pytest.mark.parametrize("result", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_runs_have_a_page_too(show, result):
    opened = show(result, PHONE)
    assert opened.locator("h1").inner_text()
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    assert "NaN<" not in opened.locator("main").inner_html()
    for figure in opened.locator("figure[data-chart]").all():
        assert figure.locator(".plot svg.marks").bounding_box()["height"] > 50


def test_nothing_in_a_name_is_run(show):
    opened = show(make_result([make_cell("numpy-cpu"), make_cell(EVIL, 2e-6)]))
    assert EVIL in opened.locator("#tables table").first.inner_text()


def test_values_are_those_of_the_results(show):
    result = a_run()
    opened = show(result)
    for folded in opened.locator("#figures .data summary").all():
        folded.click()
    data = {name: texts_of(opened.locator(f"#{name} .data tbody tr")) for name in FIGURES}
    measured = [cell for cell in result.cells if cell.seconds and cell.backend != "null-python"]
    for cell in measured:
        (row,) = [row for row in data["speed"] if row[:2] == [cell.key.label, str(cell.n)]]
        assert row[2] == words.interval(cell.seconds)
        assert row[3].startswith(f"{words.rate(cell.gflops)} [")
    assert ["mlx-cpu", "64", "0.33× [0.33×, 0.34×]"] in data["speedup"]


def texts_of(rows):
    return [row.inner_text().split("\t") for row in rows.all()]


def table_texts(located):
    """The texts of a table in the page: its headings, and its rows without the titles of groups."""
    head = [heading.strip() for heading in located.locator("thead th").all_inner_texts()]
    rows = located.locator("tbody tr:not(.group)").all()
    return head, [[text.strip() for text in row.locator("th, td").all_inner_texts()] for row in rows]


def test_tables_are_those_of_the_one_model(show):
    result = a_run()
    opened = show(result)
    report = Report(result)
    shapes = {f"shape-{shape.shape}": shape for shape in report.shapes}
    assert [place.get_attribute("id") for place in opened.locator("#tables .shape").all()] == [*shapes]
    for place, table in {**{place: shape.table for place, shape in shapes.items()}, "calls": report.calls}.items():
        columns = table.shown()
        head, rows = table_texts(opened.locator(f"#{place} table"))
        assert head == [column.heading for column in columns]
        assert rows == [[column.of(row) for column in columns] for row in table.rows]
    for place, shape in shapes.items():
        assert opened.locator(f"#{place} .ranking").inner_text() == shape.ranking
        titles = opened.locator(f"#{place} tr.group").all_inner_texts()
        assert titles == [group.title for group in shape.table.groups]
        assert "throughput: one wait for many calls" in titles


def test_what_columns_and_tones_are_is_in_classes(show):
    opened = show(a_run())
    assert opened.locator("#calls td.number.quiet").first.inner_text() == "< 20.0 ns"
    assert set(opened.locator("#tables td.bad").all_inner_texts()) == {"slower"}
    assert opened.locator("#tables th[scope=row] .swatch").count() > 12


def test_parts_are_those_of_the_results(show):
    result = a_run()
    opened = show(result)
    opened.locator("#parts .data summary").click()
    for row, size in zip(texts_of(opened.locator("#parts .data tbody tr")), (16, 64, 256), strict=True):
        (cell,) = [cell for cell in result.cells if (cell.backend, cell.n) == ("numpy-cpu", size)]
        kernel, binding, allocation = [part for part in result.parts if part.n == size]
        assert row == ["numpy-cpu", str(size), words.duration(cell.seconds.estimate), (
            f"kernel {words.duration(kernel.seconds.estimate)}, 70 %; "
            f"Python call overhead {words.interval(binding.seconds)}, 20 %; "
            f"allocation below {words.duration(allocation.resolution)}"
        )]  # fmt: skip
    bars = chart(opened, "parts").locator("[aria-roledescription='bar']").all()
    widths = [bar.bounding_box()["width"] for bar in bars]
    assert len(widths) == 6
    assert widths[0] / widths[1] == pytest.approx(3.5, rel=0.05)


def test_lines_are_hidden_and_shown_by_backend_and_by_library(show):
    opened = show(a_run())
    drawn = {"numpy-cpu", "mlx-cpu", "mlx-cpu, throughput", "mlx-cpu:tf32", "null-python (floor)"}
    assert lines(opened) == drawn
    opened.get_by_role("checkbox", name="mlx-cpu", exact=True).uncheck()
    wait_for_lines(opened, {"numpy-cpu", "mlx-cpu:tf32", "null-python (floor)"})
    library = opened.get_by_role("checkbox", name="mlx, all lines")
    assert library.evaluate("box => box.indeterminate")
    opened.get_by_role("checkbox", name="mlx-cpu", exact=True).check()
    wait_for_lines(opened, drawn)
    library.uncheck()
    wait_for_lines(opened, {"numpy-cpu", "null-python (floor)"})
    assert not opened.get_by_role("checkbox", name="mlx-cpu:tf32").is_checked()
    # What is hidden stays hidden where a chart is drawn again.
    opened.get_by_role("radio", name="linear").check()
    opened.wait_for_timeout(500)
    assert lines(opened) == {"numpy-cpu", "null-python (floor)"}


def wait_for_lines(opened, wanted):
    until(lambda: lines(opened), wanted)
    assert lines(opened) == wanted


def until(seen, wanted):
    """Waits until something is seen. Playwright's own wait evaluates text, which the page forbids."""
    end = time.monotonic() + 300  # far longer than it takes, however busy the machine is
    while seen() != wanted and time.monotonic() < end:
        time.sleep(0.05)
    return seen() == wanted


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["name", "legend"])
def test_a_line_is_singled_out_by_its_name(show, size):
    opened = show(a_run(), size)
    faded = "[...document.querySelectorAll('#speedup .plot path[aria-roledescription=point]')].filter(point => point.getAttribute('fill-opacity') < 0.5).length"  # noqa: E501
    assert opened.evaluate(faded) == 0
    name = chart(opened, "speedup").locator("text", has_text=re.compile("^mlx-cpu$")).first
    name.scroll_into_view_if_needed()
    name.click()
    assert until(lambda: opened.evaluate(faded), 6)  # mlx-cpu:tf32 and the baseline, at three sizes
    name.click(modifiers=["Shift"])
    assert until(lambda: opened.evaluate(faded), 0)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_scale_is_switched(show, size):
    opened = show(a_run(), size)
    zero = re.compile("^0$")
    assert chart(opened, "speed").locator("text", has_text=zero).count() == 0
    opened.get_by_role("radio", name="linear").check()
    chart(opened, "speed").locator("text", has_text=zero).first.wait_for()
    assert chart(opened, "speed").locator("text", has_text=zero).count() == 2
    opened.get_by_role("radio", name="logarithmic").check()
    chart(opened, "speed").locator("text", has_text=zero).first.wait_for(state="detached")


def test_a_value_is_told_at_the_pointer(show):
    opened = show(a_run())
    point = chart(opened, "speed").locator("[aria-roledescription='point']").first
    point.scroll_into_view_if_needed()
    opened.wait_for_timeout(200)
    box = point.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2 + 4, box["y"] + box["height"] / 2)
    tip = opened.locator("#tip")
    tip.wait_for(state="visible")
    assert re.fullmatch(r"backend \S+\nshape 16\ntime of one call .* µs \[.*\]", tip.inner_text())
    opened.mouse.move(5, 5)
    tip.wait_for(state="hidden")


def test_a_name_at_the_pointer_is_only_text(show):
    opened = show(make_result([make_cell(EVIL), make_cell(EVIL, 2e-6, 128)]))
    point = chart(opened, "speed").locator("[aria-roledescription='point']").first
    point.scroll_into_view_if_needed()
    opened.wait_for_timeout(200)  # a page that is scrolled says nothing at the pointer
    box = point.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.locator("#tip").wait_for(state="visible")
    assert EVIL in opened.locator("#tip").inner_text()
    assert opened.locator("#tip script").count() == 0


def test_charts_are_reached_by_the_keyboard(show):
    opened = show(a_run())
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the charts"
    opened.keyboard.press("Enter")
    reached = []
    for _ in range(12):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("document.activeElement.closest('.plot')?.parentElement.id"))
    assert [name for name in reached if name] == list(FIGURES)
    opened.get_by_role("checkbox", name="mlx-cpu", exact=True).focus()
    opened.keyboard.press("Space")
    wait_for_lines(opened, {"numpy-cpu", "mlx-cpu:tf32", "null-python (floor)"})


def test_what_a_chart_shows_is_said_to_those_who_cannot_see_it(show):
    opened = show(a_run())
    for name in FIGURES:
        said = opened.locator(f"#{name} .still").get_attribute("alt")
        assert said.endswith(".")
        assert opened.locator(f"#{name} [role=graphics-document]").get_attribute("aria-label") == said
        opened.locator(f"#{name} .data summary").click()
        assert opened.locator(f"#{name} .data tbody tr").count() >= 3


def test_the_keyboard_begins_with_a_link_past_the_head(show):
    opened = show(a_run())
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the answer"
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "answer"


def test_tables_say_what_they_are(show):
    opened = show(a_run())
    for table in opened.locator("table").all():
        assert table.locator("caption").count() == 1
        assert table.locator("thead th:not([scope=col])").count() == 0
        assert table.locator("tbody th:not([scope])").count() == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_all_is_there_without_the_script(show, size):
    opened = show(a_run(), size, java_script_enabled=False)
    for name in FIGURES:
        assert opened.locator(f"#{name} .still").is_visible()
    assert opened.locator("html").bounding_box()["width"] == size[0]


def test_on_paper_the_page_is_light_and_without_switches(show):
    opened = show(a_run(), scheme="dark")
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.locator(".controls").is_visible()
    for name in (*FIGURES, "overview"):
        assert opened.locator(f"#{name} .still").is_visible()
        assert not chart(opened, name).is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_printed_page_is_a_summary_of_one_sheet(show, scheme):
    opened = show(a_run(), scheme=scheme, unfolded=False)
    assert sheets(opened) == 1
    opened.emulate_media(media="print")
    assert opened.locator("#overview .still").is_visible()
    assert opened.locator(".heat").is_visible()
    assert not opened.locator("#figures").is_visible()
    # What a reader has opened is printed too.
    opened.emulate_media(media="screen")
    opened.locator("#figures > summary").click()
    assert sheets(opened) >= 3


def sheets(opened):
    return opened.pdf(prefer_css_page_size=True, format="A4").count(b"/Type /Page\n")


def test_on_the_first_screen_all_else_is_folded(show):
    opened = show(a_run(), unfolded=False)
    assert opened.locator("main > details[open]").count() == 0
    assert chart(opened, "overview").is_visible()
    assert opened.locator(".heat").bounding_box()["y"] < 400
    assert opened.locator(".chip").bounding_box()["y"] < DESKTOP[1]
    assert opened.locator("#speed").is_hidden()


def test_a_link_opens_what_it_leads_to(show):
    opened = show(a_run(), unfolded=False)
    opened.locator(".chip").click()
    opened.locator("#trust .inside").wait_for(state="visible")
    assert "only 3 of 5 sets fitted" in opened.locator("#trust").inner_text()
    # Closed again, the same link opens it again.
    opened.locator("#trust > summary").click()
    opened.locator("#trust .inside").wait_for(state="hidden")
    opened.locator(".chip").click()
    opened.locator("#trust .inside").wait_for(state="visible")
    opened.evaluate("location.hash = 'speed'")
    opened.locator("#speed.live").wait_for(state="visible")


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_a_line_to_paste_is_copied(show, has_clipboard):
    remedy = "unset A && python your_program.py"
    cause = Diagnosis(id="x", backend="mlx-cpu", verdict="confirmed", matters=True, text="It is slow.", remedy=remedy)
    permissions = ["clipboard-read", "clipboard-write"] if has_clipboard else []
    opened = show(a_run(diagnoses=[cause]), unfolded=False, permissions=permissions)
    if not has_clipboard:
        opened.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('none here')); }")
        opened.evaluate("() => { document.execCommand = () => { document.title = getSelection(); return true; }; }")
    opened.locator(".copy").click()
    assert until(lambda: opened.locator(".copy").inner_text(), "Copied")
    if has_clipboard:
        assert opened.evaluate("navigator.clipboard.readText()") == remedy
    else:
        assert opened.title() == remedy


def test_a_phone_shows_ratio_and_verdict_without_scrolling(show):
    opened = show(a_run(), PHONE)
    for column in ("time", "ratio", "verdict"):
        box = opened.locator(f"#tables .c-{column}").first.bounding_box()
        assert box["x"] + box["width"] <= PHONE[0]
    names = chart(opened, "speed").locator(".role-legend-label text")
    assert {"numpy-cpu", "mlx-cpu"} <= set(names.all_text_contents())


@pytest.mark.parametrize("columns", [3, 8])
def test_up_to_eight_sizes_fit_beside_the_chart(show, columns):
    sizes = [32 * 2**n for n in range(columns)]
    names = ["numpy-cpu", "torch-cpu", "mlx-cpu", "cblas-call", *(f"backend-{n}" for n in range(9))]
    cells = [make_cell(name, 1e-9 * size**2 * (i + 1), size) for i, name in enumerate(names) for size in sizes]
    comparisons = [make_comparison(name, i + 2.0, "slower", size) for i, name in enumerate(names[1:]) for size in sizes]
    opened = show(make_result(cells, comparisons), unfolded=False)
    assert (
        opened.evaluate("(box => box.scrollWidth - box.clientWidth)(document.querySelector('.by-shape .wide-table'))")
        <= 0
    )
    assert opened.locator("#overview").bounding_box()["x"] > opened.locator(".heat").bounding_box()["width"]


def test_the_page_stays_the_same_after_the_file_was_read_again():
    result = a_run()
    assert page(msgspec.json.decode(msgspec.json.encode(result), type=type(result))) == page(result)
