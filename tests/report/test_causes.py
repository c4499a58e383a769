"""How causes are told: the three that matter at the end of a run, all of them in a diagnosis, and on the page."""

from __future__ import annotations

import msgspec
import pytest

from gemmscope.records.diagnosis import Diagnosis, Experiment
from gemmscope.records.evidence import InstructionProfile, LibraryThreads, SampledInstructions, Surroundings
from gemmscope.records.gpu import Copy, GpuState, Kernel, KernelTrace, TracedKernels
from gemmscope.report import causes
from gemmscope.report.document import Figures, Heading, Items, Paragraph
from gemmscope.report.html import page
from gemmscope.report.html.facts import loaded, surroundings_table, variables_of
from tests.builders import (
    make_backend,
    make_ceilings,
    make_cell,
    make_finding,
    make_interval,
    make_result,
    make_samples,
    make_worker,
)

SHAPE = "1024x1024x1024"


def make(id_="environment-variable", subject="OMP_NUM_THREADS", gain=2.0, **changes):
    found = make_interval(gain) if gain else None
    fields = {
        "id": id_, "subject": subject, "backend": "numpy-cpu", "shape": SHAPE, "verdict": "confirmed", "matters": True,
        "text": f"{subject} is why.", "remedy": f"unset {subject}", "gain": found,
        "experiments": [Experiment(variant=f"numpy-cpu:{subject}=", gain=found, changes_time=True, sets=3)],
    }  # fmt: skip
    return Diagnosis(**fields | changes)


def refuted(**changes):
    return make(
        **{"verdict": "refuted", "matters": False, "remedy": "", "subject": "OPENBLAS_L2_SIZE", "gain": None} | changes
    )


def result(*diagnoses, **changes):
    return make_result([make_cell("numpy-cpu", 1e-3, 1024)], diagnoses=list(diagnoses), **changes)


def items(blocks):
    return [item for block in blocks if isinstance(block, Items) for item in block.items]


def test_a_run_ends_with_three_causes_at_most_each_with_its_remedy():
    found = items(causes.main(result(*(make(subject=f"V{i}", gain=5.0 - i) for i in range(4)))))
    assert [item.text for item in found] == ["V0 is why.", "V1 is why.", "V2 is why."]
    assert found[0].remedy == "\N{RIGHTWARDS ARROW} unset V0"


def test_a_run_without_causes_says_nothing_of_them():
    assert causes.main(result(refuted())) == []


def test_one_cause_of_several_backends_is_told_once():
    (told,) = causes.told([make(), make(backend="torch-cpu", gain=1.5), make(shape="64x64x64", gain=1.2)])
    assert told.text == "OMP_NUM_THREADS is why. The same at torch-cpu at 1024 (1.50 times) and 64 (1.20 times)."


def test_what_comes_from_a_file_is_one_line_without_control_characters():
    (told,) = causes.told([make(text="a\x1b[31m\nb", remedy="unset\tX\x07")])
    assert (told.text, told.remedy) == ("a [31m b", "unset X")


def test_a_diagnosis_shows_every_suspicion_and_what_is_healthy():
    healthy = make_finding("torch-cpu is healthy.", id="healthy")
    blocks = causes.in_full(result(make(), refuted(text="It is not why."), findings=[healthy]))
    headings = [block.text for block in blocks if isinstance(block, Heading)]
    assert headings == [causes.TITLE, "Nothing wrong with", "Every suspicion", "Ruled out, or not settled"]
    (table,) = [block.table for block in blocks if isinstance(block, Figures)]
    assert [[column.of(row) for column in table.columns] for row in table.rows] == [
        ["environment-variable: OMP_NUM_THREADS", "numpy-cpu", "1024", "confirmed", "2.00 [1.96, 2.04]",
         "numpy-cpu:OMP_NUM_THREADS="],
        ["environment-variable: OPENBLAS_L2_SIZE", "numpy-cpu", "1024", "refuted", "", "numpy-cpu:OPENBLAS_L2_SIZE="],
    ]  # fmt: skip


def test_what_could_not_be_measured_is_said_for_there_are_no_tables():
    cells = [
        make_cell("numpy-cpu", None, 1024, status="skipped", reason="too slow"),
        make_cell("torch-cpu", 1e-3, 1024),
    ]
    lost = make_backend("mlx-cpu", status="failed", reason="it crashed", remedy="pip install mlx")
    experiment = make_backend("numpy-cpu:out", status="failed", reason="x", experiment=True)
    found = items(causes.in_full(make_result(cells, backends=[lost, experiment])))
    assert [item.text for item in found] == [
        "numpy-cpu skipped at 1024: too slow",
        "mlx-cpu failed: it crashed",
    ]


def test_without_any_suspicion():
    assert causes.in_full(result()) == [Paragraph("No cause found.", "strong")]


def test_those_about_a_backend_and_a_shape():
    every = [make(), make(backend="torch-cpu:out"), make(backend="", shape="", id_="busy-machine")]
    assert causes.about(every, "torch-cpu", None) == every[1:]
    assert causes.about(every, None, "64x64x64") == every[2:]


class TestPage:
    def test_causes_stand_below_the_answer_with_a_line_to_paste(self):
        html = page(
            result(make(), refuted(text="It is not why."), findings=[make_finding("All are tied.", id="headline")])
        )
        assert html.index("<h1>All are tied.</h1>") < html.index(causes.TITLE) < html.index("OMP_NUM_THREADS is why.")
        assert "<code>unset OMP_NUM_THREADS</code>" in html
        assert "It is not why." in html

    def test_without_suspicions_there_is_no_such_place(self):
        assert 'id="causes"' not in page(result())

    def test_experiments_are_in_no_table_of_backends(self):
        cells = [make_cell("numpy-cpu", 2e-2, 1024), make_cell("numpy-cpu:OMP_NUM_THREADS=", 1.5e-2, 1024)]
        backends = [make_backend("numpy-cpu"), make_backend("numpy-cpu:OMP_NUM_THREADS=", experiment=True)]
        html = page(make_result(cells, backends=backends, ceilings=make_ceilings()))
        assert "What each backend reached" in html
        assert "OMP_NUM_THREADS" not in html

    def test_markup_in_a_cause_stays_text(self):
        html = page(result(make(text="<script>alert(1)</script>", remedy="<b>x</b>", subject="<i>")))
        assert "<script>alert" not in html
        assert "<b>x</b>" not in html


class TestFacts:
    def test_what_a_worker_had_and_did(self):
        blas = LibraryThreads(image="/x/libopenblas.so", kind="OpenBLAS", threads=2, core="Haswell")
        worker = make_worker("numpy", set=0, variables={"OMP_NUM_THREADS": "1", "MKL_CBWR": "AVX"},
                             environment={"MKL_CBWR": ""}, libraries=[blas])  # fmt: skip
        profile = InstructionProfile(
            samples=90,
            image="/x/libopenblas.so",
            image_share=1.0,
            width="256-bit",
            fused=True,
            instruction="vfmadd231ps ymm",
            examples=["libopenblas+0x1: vfmadd231ps"],
        )
        cell = msgspec.structs.replace(make_cell("numpy-cpu", 1e-3, 1024), first_calls=[0.1, 0.2])
        run = make_result([cell], backends=[make_backend("numpy-cpu", worker="numpy")], workers=[worker], instructions=[
            SampledInstructions(backend="numpy-cpu", m=1024, n=1024, k=1024, profile=profile)
        ])  # fmt: skip
        (found,) = loaded(run)
        assert found.facts["environment"] == ["MKL_CBWR unset", "OMP_NUM_THREADS=1"]
        assert found.facts["BLAS and OpenMP"] == ["OpenBLAS, 2 threads, kernels for Haswell"]
        (instructions,) = [lines for word, lines in found.facts.items() if word.startswith("instructions")]
        assert "100 % of samples in libopenblas: 256-bit FMAs (vfmadd231ps ymm)" in instructions[0]
        assert any("100 ms, 200 ms" in line for lines in found.facts.values() for line in lines)
        assert variables_of(run) == ["export OMP_NUM_THREADS=1"]

    def test_what_calls_did_on_a_gpu_is_listed_once_where_sets_agree(self):
        kernel = Kernel(name="gemm", grid=(8, 16, 1), block=(128, 1, 1), launches=1, seconds=56e-6)
        copy = Copy(kind="host to device", size=4_000_000, launches=2, seconds=180e-6)
        traces = [KernelTrace(calls=10, kernels=[kernel], copies=[copy])] * 2 + [KernelTrace(reason="CUPTI refuses")]
        samples = make_samples([1e-4] * 3)
        states = [GpuState(sm_mhz=1470.0, watts=700.2, held_by=["power cap"])] * 3 + [GpuState(sm_mhz=1980.0)]
        held = [msgspec.structs.replace(one, gpu=gpu) for one, gpu in zip(samples, states, strict=False)]
        cell = make_cell("torch-gpu", 1e-4, 1024, samples=held)
        kernels = [
            TracedKernels(backend="torch-gpu", m=1024, n=1024, k=1024, mode="device", set=set_, trace=trace)
            for set_, trace in enumerate(traces)
        ]
        worker = make_worker("torch", backends={"torch-gpu": {}})
        record = make_backend("torch-gpu", worker="torch")
        (found,) = loaded(make_result([cell], backends=[record], workers=[worker], kernels=kernels))
        assert found.facts["on the GPU, torch-gpu at 1024×1024×1024"] == [
            "gemm, grid 8x16x1, block 128x1x1: 56.0 µs, 1 a call", "host to device, 4 MB: 180 µs, 2 a call",
            "CUPTI refuses",
        ]  # fmt: skip
        assert found.facts["the GPU during torch-gpu at 1024×1024×1024"] == [
            "SM clock 1470 MHz, 700 W; power cap in 3 of 4 readings"
        ]

    def test_what_an_experiment_unsets_is_still_the_users(self):
        plain = make_worker("numpy", variables={"OMP_NUM_THREADS": "1"}, environment={})
        without = make_worker("numpy-cpu:OMP_NUM_THREADS=", variables={}, environment={"OMP_NUM_THREADS": ""})
        assert variables_of(make_result([], workers=[plain, without])) == ["export OMP_NUM_THREADS=1"]

    def test_a_variable_is_quoted_for_the_shell(self):
        worker = make_worker("numpy", variables={"LD_PRELOAD": "/a b/$(x).so"}, environment={})
        assert variables_of(make_result([], workers=[worker])) == ["export LD_PRELOAD='/a b/$(x).so'"]

    def test_what_others_took(self):
        sets = [Surroundings(set=0, seconds=10.0, processors=2, other_seconds=5.0, others={"cc1plus": 4.0, "sh": 0.2})]
        assert surroundings_table(sets) == {
            "other programs": ["25 % of the processors' time"], "most of all": ["cc1plus: 4 s"]
        }  # fmt: skip

    @pytest.mark.parametrize("sets", [[], [Surroundings(set=0, seconds=0.0, processors=2)]])
    def test_nothing_known(self, sets):
        assert surroundings_table(sets) == {}
