"""What is said about a run: each rule on made-up results, for both outcomes."""

from __future__ import annotations

import random
import re

import msgspec
import pytest

from gemmscope.analysis import diagnosis
from gemmscope.analysis.breakdown.cpu import derive as derive_parts
from gemmscope.analysis.figures import figures, measure_reference
from gemmscope.analysis.findings import RULES, ceilings, claims, derive, kernels, overhead, quality, speed
from gemmscope.analysis.view import View
from gemmscope.records.base import Interval
from gemmscope.records.evidence import LibraryThreads
from gemmscope.records.model import ProcessMode, ReferenceWorkload, Sample, WorkerRecord
from gemmscope.report.trust import in_short
from tests.builders import (
    make_backend,
    make_ceilings,
    make_cell,
    make_comparison,
    make_interval,
    make_machine,
    make_part,
    make_result,
    make_sampled_cell,
    make_samples,
    make_settings,
)

MICRO = 1e-6


def samples(seconds, spread=0.001, sets=6):
    """Samples whose sets scatter by ``spread``; cells of one round are taken in one turn, and so paired."""
    generator = random.Random(f"{seconds}{spread}")
    return [
        Sample(set=set_, round=round_, turn=0, start=0.0, first_pair=0, loops=1,
               seconds=seconds * (1 + spread * generator.uniform(-1, 1)), cpu_seconds=seconds)
        for set_ in range(sets) for round_ in range(3)
    ]  # fmt: skip


def cell(backend, micros, size=64, spread=0.001, **changes):
    seconds = micros * MICRO
    return make_cell(backend, seconds, size=size, samples=samples(seconds, spread), **changes)


def view(*cells, parts=(), **changes):
    return View(make_result(list(cells), parts=list(parts), **changes))


def with_parts(*cells, backends):
    parts = derive_parts(cells, {record.name: record for record in backends})
    return view(*cells, parts=parts, backends=backends)


def only(findings):
    (finding,) = findings
    return finding


# --- Ceilings ---------------------------------------------------------------------------------------------------------


CEILINGS = make_ceilings(peak_gflops=200.0, threads=2)


def rates(**gflops):
    return [make_cell(name.replace("_", "-"), 2 * 64**3 / rate / 1e9) for name, rate in gflops.items()]


def test_the_best_rate_is_a_share_of_the_peak():
    found = only(ceilings.shares(view(*rates(numpy_cpu=150, torch_cpu=180, mlx_cpu=4), ceilings=CEILINGS)))
    assert found.text.startswith(
        "The best rate on the processor is 180 GFLOP/s (torch-cpu at 64): 90 % of the measured peak"
    )
    assert "The best rates of others, as shares of that peak: numpy-cpu 75 % and mlx-cpu 2.0 %." in found.text
    assert found.evidence["mlx-cpu, share of the best rate"] == pytest.approx(4 / 180)
    assert found.evidence["numpy-cpu, share of the peak"] == pytest.approx(0.75)


def test_a_peak_below_the_best_rate_was_measured_too_low():
    found = only(ceilings.shares(view(*rates(numpy_cpu=150, torch_cpu=290, mlx_cpu=4), ceilings=CEILINGS)))
    assert found.text == (
        "The best rate on the processor is 290 GFLOP/s (torch-cpu at 64). The peak was measured too low, as "
        "200 GFLOP/s. The best rates of others, as shares of that best rate: numpy-cpu 52 % and mlx-cpu 1.4 %."
    )
    assert "numpy-cpu, share of the peak" not in found.evidence
    # What exceeds it by noise alone still has its share.
    noise = only(ceilings.shares(view(*rates(numpy_cpu=150, torch_cpu=204), ceilings=CEILINGS)))
    assert "102 % of the measured peak" in noise.text


def test_a_kernel_may_have_the_best_rate_and_only_calls_are_listed():
    cells = rates(kernel_torch=190, kernel_numpy=150, torch_cpu=180)
    backends = [make_backend("kernel-torch", entry="native"), make_backend("kernel-numpy", entry="native"),
                make_backend("torch-cpu")]  # fmt: skip
    found = only(ceilings.shares(view(*cells, backends=backends, ceilings=CEILINGS)))
    assert "190 GFLOP/s (kernel-torch at 64)" in found.text
    assert found.text.endswith("as shares of that peak: torch-cpu 90 %.")
    assert found.evidence["kernel-numpy, share of the peak"] == 0.75


def test_without_a_measured_peak_the_best_rate_is_the_ceiling():
    found = only(ceilings.shares(view(*rates(numpy_cpu=90, torch_cpu=180))))
    assert found.text.endswith("as shares of that best rate: numpy-cpu 50 %.")
    assert not ceilings.shares(view(*rates(numpy_cpu=90)))


def test_a_peak_that_is_no_ceiling_is_said_to_be_none():
    apple = make_ceilings(peak_gflops=200.0, note="measured with NEON; no ceiling for AMX")
    found = only(ceilings.shares(view(*rates(numpy_cpu=900), ceilings=apple)))
    assert "450 %" in found.text
    assert found.text.endswith("The peak was measured with NEON; no ceiling for AMX.")


def test_what_others_measured_on_such_a_chip_is_said_to_be_published():
    mac, neon = make_machine(cpu="Apple M1 Max"), make_ceilings(peak_gflops=200.0, note="measured with NEON")
    found = only(ceilings.shares(view(*rates(numpy_cpu=2636), ceilings=neon, machine=mac)))
    assert found.text.endswith(
        "Others measured 2746 GFLOP/s on an Apple M1 Max (published, not measured here: philipturner/amx-benchmarks): "
        "numpy-cpu reaches 96 % of that."
    )
    other = only(ceilings.shares(view(*rates(numpy_cpu=3000), ceilings=neon)))
    assert "published" not in other.text


def test_gpus_and_reduced_precision_are_under_no_ceiling():
    cells = [*rates(numpy_cpu=100, torch_gpu=9000), make_cell("odd-cpu", 1e-9, precision="tf32")]
    found = only(ceilings.shares(view(*cells, ceilings=CEILINGS)))
    assert "(numpy-cpu at 64)" in found.text
    assert found.backends == ["numpy-cpu"]


# --- Speed ------------------------------------------------------------------------------------------------------------


def test_the_fastest_library_is_named_with_its_shapes():
    findings = speed.fastest(view(
        cell("numpy-cpu", 1.0, 16), cell("torch-cpu", 2.0, 16), cell("numpy-cpu", 4.0, 64), cell("torch-cpu", 5.0, 64),
        cell("numpy-cpu", 50.0, 256), cell("torch-cpu", 40.0, 256),
    ))  # fmt: skip
    first, second = findings
    assert first.text == "numpy-cpu is fastest at 16 and 64: 1.00 µs at 16; 4.00 µs at 64."
    assert second.text == "torch-cpu is fastest at 256: 40.0 µs."
    assert (first.verdict, second.verdict) == ("found", "found")
    assert first.evidence["numpy-cpu at 16, seconds"] == MICRO
    assert second.shapes == ["256x256x256"]


def test_a_tie_is_named():
    finding = only(speed.fastest(view(cell("numpy-cpu", 1.0), cell("torch-cpu", 1.005))))
    assert finding.verdict == "not found"
    assert finding.text == "numpy-cpu is tied for fastest at 64: 1.00 µs, with torch-cpu."


def test_a_tie_at_one_size_of_two_is_named_there():
    cells = [cell("numpy-cpu", 1.0, 64), cell("torch-cpu", 1.005, 64), cell("numpy-cpu", 9.0, 256),
             cell("torch-cpu", 30.0, 256)]  # fmt: skip
    finding = only(speed.fastest(view(*cells)))
    assert finding.text == (
        "numpy-cpu is fastest, or tied for it, at 64 and 256: 1.00 µs at 64, tied with torch-cpu; 9.00 µs at 256."
    )


def test_one_that_is_not_shown_to_be_faster_than_any_is_not_called_fastest():
    wild = make_sampled_cell("torch-cpu", [2e-6, 9e-6, 0.8e-6])
    finding = only(speed.fastest(view(cell("numpy-cpu", 1.0), wild)))
    assert finding.text == (
        "numpy-cpu has the shortest time at 64: 1.00 µs, too noisy to tell whether faster than torch-cpu."
    )


def test_gemmscope_s_own_call_is_told_from_the_libraries():
    finding = only(speed.fastest(view(cell("cblas-call", 1.0), cell("numpy-cpu", 2.0))))
    assert finding.text == (
        "cblas-call, gemmscope's own direct call from C++ beside the libraries, is fastest at 64: 1.00 µs."
    )


def test_reduced_precision_is_never_the_fastest():
    finding = only(speed.fastest(view(cell("numpy-cpu", 10.0), cell("mlx-gpu:tf32", 1.0, precision="tf32"))))
    assert finding.text == "numpy-cpu is fastest at 64: 10.0 µs."


def test_a_changed_order_is_said_once_for_each_turn():
    finding = only(speed.order_changes(view(
        cell("numpy-cpu", 1.0, 16), cell("torch-cpu", 2.0, 16),
        cell("numpy-cpu", 50.0, 256), cell("torch-cpu", 40.0, 256),
    )))  # fmt: skip
    assert "numpy-cpu is faster than torch-cpu at 16" in finding.text
    assert "slower at 256" in finding.text
    same_order = view(cell("numpy-cpu", 1.0, 16), cell("torch-cpu", 2.0, 16),
                      cell("numpy-cpu", 40.0, 256), cell("torch-cpu", 50.0, 256))  # fmt: skip
    assert speed.order_changes(same_order) == []


# --- Causes -----------------------------------------------------------------------------------------------------------

MLX = [
    make_backend("mlx-cpu", part="binding", inside="mlx-cpp-cpu"),
    make_backend("mlx-cpp-cpu", part="runtime", inside="kernel-mlx", entry="native"),
    make_backend("kernel-mlx", library="mlx", entry="native"),
    make_backend("kernel-numpy", library="numpy", entry="native"),
]


def kernel_worker(backend, image, description=""):
    facts = {"kernel image": image, "kernel description": description}
    return WorkerRecord(set=0, worker=backend, library=backend, pid=1, backends={backend: facts})


def slow_mlx(kernel_micros, *more):
    cells = [cell("mlx-cpu", kernel_micros + 2, 1024), cell("kernel-mlx", kernel_micros, 1024),
             cell("kernel-numpy", 100.0, 1024), *more]  # fmt: skip
    workers = [kernel_worker("kernel-mlx", "/x/libblas-bd8a.so.3"), kernel_worker("kernel-numpy", "/x/libob.so", "OB")]
    extra = [make_backend(one.backend) for one in more]
    return view(*cells, backends=[*MLX, *extra], workers=workers)


def test_a_slow_kernel_is_named_as_the_cause_with_its_file_and_remedy():
    finding = only(kernels.kernel_as_cause(slow_mlx(5000.0)))
    assert "mlx-cpu is slow because of its kernel" in finding.text
    assert "libblas-bd8a.so.3 (netlib's reference BLAS, by its name)" in finding.text
    assert "nearly all of the call is the kernel" in finding.text
    assert finding.evidence["times as long"] == pytest.approx(50, rel=0.01)


def test_a_kernel_that_a_diagnosis_speaks_of_is_not_named_twice():
    result = slow_mlx(5000.0, cell("mlx-cpu:blas=openblas", 100.0, 1024)).result
    # The file is from before libraries were recorded: its name tells.
    hosted = [msgspec.structs.replace(one, worker="kernel-mlx") if one.library == "mlx" else one
              for one in result.backends]  # fmt: skip
    result = msgspec.structs.replace(result, backends=hosted)
    (told,) = [one for one in diagnosis.derive(View(result)) if one.matters]
    assert (told.id, told.backend, told.verdict) == ("reference-blas", "mlx-cpu", "confirmed")
    result = msgspec.structs.replace(result, diagnoses=[told])
    assert kernels.kernel_as_cause(View(result)) == []


def test_fewer_threads_are_no_slower_kernel():
    view = slow_mlx(5000.0)
    threads = {"kernel-mlx": 0.02, "kernel-numpy": 2.0}
    cells = [msgspec.structs.replace(one, threads=threads.get(one.backend, 2.0)) for one in view.result.cells]
    assert kernels.kernel_as_cause(View(msgspec.structs.replace(view.result, cells=cells))) == []


def test_kernels_that_hardly_differ_are_no_cause():
    assert kernels.kernel_as_cause(slow_mlx(120.0)) == []


def test_another_routine_is_reported_with_its_shape():
    rows = view(
        cell("kernel-numpy", 1.0, routine="sgemm"),
        make_cell("kernel-numpy", MICRO, m=1, n=64, k=64, samples=samples(MICRO), routine="sgemv"),
        backends=[make_backend("kernel-numpy", library="numpy")],
    )
    finding = only(kernels.other_routines(rows))
    assert "At 1×64×64 numpy calls sgemv instead of sgemm" in finding.text
    assert kernels.other_routines(view(cell("kernel-numpy", 1.0, routine="sgemm"))) == []


def mlx_calls(*sizes):
    """Calls with a runtime of 8 µs and a binding of 2 around kernels of the given microseconds."""
    cells = []
    for size, kernel in sizes:
        cells += [cell("mlx-cpu", kernel + 10, size), cell("mlx-cpp-cpu", kernel + 8, size),
                  cell("kernel-mlx", kernel, size)]  # fmt: skip
    return with_parts(*cells, backends=MLX)


def test_the_overhead_and_where_it_fades():
    finding = only(overhead.share(mlx_calls((16, 1.0), (64, 30.0), (256, 1000.0))))
    assert finding.text.startswith("mlx-cpu at 16: 91 % [91, 91] of a call (11.0 µs) is overhead: runtime 8.00 µs")
    assert "Python call overhead 2.00 µs" in finding.text
    assert "add up" not in finding.text
    assert "It is below 10 % at 256, the largest size that was taken apart." in finding.text
    assert finding.evidence["below 10 % from"] == "256x256x256"
    assert finding.evidence["share at 16"] == pytest.approx(10 / 11, rel=0.01)
    assert finding.verdict == "found"


def test_a_share_that_is_small_everywhere_is_no_finding():
    finding = only(overhead.share(mlx_calls((64, 10_000.0))))
    assert finding.verdict == "not found"
    assert finding.text.endswith(" It is below 1 % at 64, the only size that was taken apart.")
    assert "10 %" not in finding.text, "below 1 % is below 10 %"


def test_sizes_at_which_the_overhead_is_small_are_those_that_were_taken_apart():
    finding = only(overhead.share(mlx_calls((16, 1.0), (64, 300.0), (256, 3000.0), (1024, 90_000.0))))
    assert "It is below 10 % at 64, 256 and 1024. It is below 1 % at 256 and 1024." in finding.text


def test_a_share_that_noise_hides_is_not_told():
    cells = [cell("mlx-cpu", 1010.0, spread=0.5), cell("mlx-cpp-cpu", 1008.0, spread=0.4), cell("kernel-mlx", 1000.0)]
    finding = only(overhead.share(with_parts(*cells, backends=MLX)))
    assert "too noisy to say" in finding.text


def test_parts_that_miss_the_overhead_say_what_they_add_up_to():
    calls = mlx_calls((16, 1.0))
    parts = [
        msgspec.structs.replace(part, seconds=make_interval(5 * MICRO)) if part.part == "runtime" else part
        for part in calls.result.parts
    ]
    finding = only(overhead.share(View(msgspec.structs.replace(calls.result, parts=parts))))
    assert finding.text.startswith("mlx-cpu at 16: 91 % [91, 91] of a")
    assert "(the parts were measured one by one and add up to 64 %)" in finding.text


def test_what_dropping_to_cpp_would_save():
    finding = only(overhead.python_against_native(mlx_calls((16, 1.0), (64, 30.0))))
    assert finding.text.startswith("Calling from C++ instead of Python would save mlx-cpu at most 2.0")
    assert finding.verdict == "found"
    noisy = [cell("mlx-cpu", 11.0, spread=0.9), cell("mlx-cpp-cpu", 10.9, spread=0.8), cell("kernel-mlx", 1.0)]
    assert overhead.python_against_native(with_parts(*noisy, backends=MLX)) == []


def test_no_more_than_the_overhead_can_be_saved():
    """A part whose interval ends beyond the call itself: nobody saves 101 % of it."""
    calls = mlx_calls((16, 1.0))
    wide = Interval(estimate=6 * MICRO, low=1 * MICRO, high=11.2 * MICRO)
    parts = [
        msgspec.structs.replace(part, seconds=wide) if part.part == "binding" else part for part in calls.result.parts
    ]
    finding = only(overhead.python_against_native(View(msgspec.structs.replace(calls.result, parts=parts))))
    assert "would save mlx-cpu at most 10.0 µs (91 %) per call at 16" in finding.text


def numpy_calls(allocation):
    backends = [make_backend("numpy-cpu", part="allocation", inside="numpy-cpu:out"),
                make_backend("numpy-cpu:out", part="binding", inside="kernel-numpy"),
                make_backend("kernel-numpy", entry="native")]  # fmt: skip
    cells = [cell("numpy-cpu", 10 + allocation), cell("numpy-cpu:out", 10.0), cell("kernel-numpy", 9.0)]
    return with_parts(*cells, backends=backends)


def test_an_allocation_is_named_where_it_is_worth_it():
    finding = only(overhead.allocation(numpy_calls(3.0)))
    assert "costs numpy-cpu 3.0" in finding.text
    assert "numpy-cpu:out avoids it" in finding.text
    assert overhead.allocation(numpy_calls(0.1)) == []


# --- Trust ------------------------------------------------------------------------------------------------------------


def pool(library, threads, kind="OpenBLAS"):
    image = f"/site-packages/{library}.libs/libblas.so"
    return WorkerRecord(set=0, worker=library, library=library, pid=1,
                        libraries=[LibraryThreads(image=image, kind=kind, threads=threads)])  # fmt: skip


def threads_view(names, threads, workers, usable=2.0):
    library = {name: name.partition("-")[0] for name in names}
    backends = [
        make_backend(name, worker=library[name], library=library[name], device=name[-3:] if "gpu" in name else "cpu")
        for name in names
    ]
    return view(*(cell(name, 1.0) for name in names), backends=backends, workers=workers,
                settings=make_settings(backends=names, threads=threads),
                machine=make_machine(usable_cpus=usable))  # fmt: skip


@pytest.mark.parametrize(
    ("names", "workers", "usable", "words"),
    [
        (["numpy-cpu"], [pool("numpy", 8)], 2.0, "numpy-cpu ran 8 threads on 2 processors"),
        (["numpy-cpu"], [pool("numpy", 2)], 1.5, "numpy-cpu ran 2 threads on 1.5 processors"),
        (["torch-cpu"], [pool("torch", 16, "OpenMP")], 2.0, "torch-cpu ran 16 threads"),
        (["torch-cpu", "numpy-cpu"], [pool("torch", 9), pool("numpy", 9)], None,
         "torch-cpu and numpy-cpu ran 9 threads on 8 processors"),
    ],
)  # fmt: skip
def test_more_threads_than_processors(names, workers, usable, words):
    assert words in only(quality.too_many_threads(threads_view(names, None, workers, usable))).text


@pytest.mark.parametrize(
    ("names", "workers"),
    [
        (["numpy-cpu"], []),
        (["numpy-cpu"], [pool("numpy", 2)]),  # OpenBLAS takes no more threads than there are processors
        (["mlx-cpu"], [pool("mlx", 1, "reference BLAS")]),
        (["jax-cpu"], [pool("jax", 8)]),  # NumPy's, which is loaded there too
        (["torch-gpu"], [pool("torch", 8)]),
    ],
)
def test_what_was_asked_for_is_no_claim(names, workers):
    assert quality.too_many_threads(threads_view(names, 8, workers)) == []


def test_nothing_is_said_of_threads_where_nothing_ran():
    failed = make_cell("numpy-cpu", None, status="failed", reason="why")
    backends = [make_backend("numpy-cpu", worker="numpy", library="numpy")]
    there = view(failed, backends=backends, workers=[pool("numpy", 8)], settings=make_settings(threads=4),
                 machine=make_machine(usable_cpus=2.0))  # fmt: skip
    assert quality.too_many_threads(there) == []
    assert quality.other_threads_than_asked(there) == []


def test_a_library_that_takes_another_number_of_threads_is_named():
    capped = threads_view(["numpy-cpu", "torch-cpu"], 8, [pool("numpy", 2), pool("torch", 8)])
    finding = only(quality.other_threads_than_asked(capped))
    assert "numpy-cpu had 2 threads, and not the 8 asked for" in finding.text
    assert quality.other_threads_than_asked(threads_view(["numpy-cpu"], None, [pool("numpy", 2)])) == []


def test_unequal_precision():
    finding = only(quality.unequal_precision(view(
        cell("numpy-cpu", 1.0), cell("mlx-gpu:tf32", 1.0, precision="tf32", relative_error=2.9e-4))))  # fmt: skip
    assert "mlx-gpu:tf32 in tf32 (relative error 2.9e-04)" in finding.text
    assert quality.unequal_precision(view(cell("numpy-cpu", 1.0))) == []


def test_unequal_threads():
    finding = only(
        quality.unequal_threads(view(cell("numpy-cpu", 1.0, threads=2.0), cell("mlx-cpu", 1.0, threads=1.0)))
    )
    assert "up to 2.0 were busy, but with mlx-cpu 1.0" in finding.text
    assert quality.unequal_threads(view(cell("numpy-cpu", 1.0, threads=2.0), cell("mlx-cpu", 1.0, threads=1.9))) == []


@pytest.mark.parametrize(("drift", "verdict"), [(0.3, "found"), (-0.2, "found"), (0.01, "not found")])
def test_drift(drift, verdict):
    finding = only(
        quality.drift(view(cell("numpy-cpu", 1.0), reference=ReferenceWorkload(shape="192x192x192", drift=drift)))
    )
    assert finding.verdict == verdict
    assert quality.drift(view(cell("numpy-cpu", 1.0))) == []


def test_one_sample_of_a_set_is_no_drift():
    """As seen in a run of 15 s: 16 threads had to wake up for the only sample of the third set."""
    samples = make_samples([58e-6, 60e-6, 456e-6])
    once = [sample for sample in samples if sample.round == 0]
    mixed = [sample for sample in samples if sample.set != 2 or sample.round == 0]
    for seen, drift in ((once, None), (mixed, pytest.approx(60 / 58 - 1))):
        assert measure_reference(ReferenceWorkload(shape="192x192x192", samples=seen)).drift == drift


def test_a_disturbed_set_is_left_out_and_named():
    """As seen beside a neighbour that woke up in one set: a ratio of 1.28 [0.72, 2.29] without this."""
    plain = [1.00, 1.01, 0.99, 1.00, 1.01, 0.99]
    disturbed = [2.00, 2.03, 1.99, 7.40, 2.01, 2.00]
    seen = [1.0, 1.0, 1.0, 1.86, 1.0, 1.0]
    made = [make_sampled_cell("numpy-cpu", [MICRO * one for one in plain]),
            make_sampled_cell("torch-cpu", [MICRO * one for one in disturbed])]  # fmt: skip
    reference = ReferenceWorkload(shape="192x192x192", samples=make_samples([1e-4 * one for one in seen]))
    run = View(figures(make_result(made, reference=reference)))
    (comparison,) = run.result.comparisons
    assert comparison.left_out == [3]
    assert comparison.ratio.estimate == pytest.approx(2.006, rel=0.005)
    assert comparison.ratio.high < 2.1
    finding = only(quality.disturbed_sets(run))
    assert "batch 4 is left out of 1 comparison (the reference workload took 86 % longer there)" in finding.text
    assert finding.backends == ["torch-cpu"]
    assert quality.disturbed_sets(view(cell("numpy-cpu", 1.0))) == []


def test_processes_of_several_kinds():
    modes = [ProcessMode(seconds=1e-6, sets=[0, 1, 2]), ProcessMode(seconds=4e-6, sets=[3])]
    finding = only(quality.process_modes(view(cell("mlx-cpu", 1.0, process_modes=modes))))
    assert "1.00 µs in 3 processes, 4.00 µs in 1" in finding.text
    assert quality.process_modes(view(cell("mlx-cpu", 1.0))) == []


def test_noise():
    finding = only(quality.noise(view(cell("numpy-cpu", 1.0, spread_within=0.3), cell("torch-cpu", 1.0))))
    assert "in 1 of 2 cells" in finding.text
    assert quality.noise(view(cell("numpy-cpu", 1.0, spread_within=0.02))) == []


def test_not_converged():
    open_ = make_comparison("torch-cpu", 1.0, "unclear", converged=False)
    settled = make_comparison("torch-cpu", 2.0, "slower", converged=True)
    finding = only(quality.not_converged(View(make_result([cell("numpy-cpu", 1.0)], [open_, settled]))))
    assert finding.text.startswith("1 of 2 comparisons is unclear, with an interval wider than ±0.5 %. More time ")
    assert quality.not_converged(View(make_result([cell("numpy-cpu", 1.0)], [settled]))) == []


def test_unclear_verdicts_are_counted_as_the_tables_have_them():
    """Two of five have a verdict each by itself, and none once all are taken together; the tables show the latter."""
    wide = make_comparison("torch-cpu", 1.0, "unclear", converged=False)
    narrow = make_comparison("torch-cpu", 1.01, "unclear", converged=True)
    alone = make_comparison("torch-cpu", 1.02, "slower", corrected="unclear", converged=True)
    settled = make_comparison("torch-cpu", 2.0, "slower", converged=True)
    result = make_result([cell("numpy-cpu", 1.0)], [wide, narrow, alone, alone, settled])
    finding = only(quality.not_converged(View(result)))
    assert finding.text.startswith(
        "4 of 5 comparisons are unclear: 1 with an interval wider than ±0.5 %, 1 with a narrow interval around the "
        "margin and 2 with a verdict each by itself, but not once all are taken together. More time "
    )
    assert "4 of 5 comparisons unclear" in in_short(result)


# --- The old claims ---------------------------------------------------------------------------------------------------


def outcome(rule, *cells, **changes):
    finding = only(rule(view(*cells, **changes)))
    word = {"supported": "Supported", "refuted": "Refuted", "not testable": "Not testable here|Open at"}[
        finding.verdict
    ]
    assert re.search(f"”. ({word})", finding.text)
    return finding.verdict


@pytest.mark.parametrize(("mlx", "verdict"), [(5.0, "supported"), (10.0, "supported"), (12.0, "refuted")])
def test_mlx_on_the_gpu(mlx, verdict):
    assert outcome(claims.mlx_gpu, cell("mlx-gpu", mlx), cell("torch-gpu", 10.0)) == verdict


def test_one_size_refutes_a_claim_about_all():
    cells = [cell("mlx-gpu", 5.0, 64), cell("torch-gpu", 10.0, 64), cell("mlx-gpu", 50.0, 256),
             cell("torch-gpu", 40.0, 256)]  # fmt: skip
    assert outcome(claims.mlx_gpu, *cells) == "refuted"


def test_a_claim_names_the_sizes_that_refute_it_support_it_and_leave_it_open():
    cells = [cell("mlx-cpu", 5.0, 64), cell("torch-cpu", 10.0, 64), cell("numpy-cpu", 10.0, 64),
             cell("mlx-cpu", 5.0, 128), cell("torch-cpu", 10.0, 128), cell("numpy-cpu", 4.0, 128),
             cell("mlx-cpu", 5.0, 256), cell("torch-cpu", 10.0, 256)]  # fmt: skip
    text = only(claims.mlx_cpu_ahead(view(*cells))).text
    assert "Refuted at 128; supported at 64; open at 256: time of mlx-cpu / torch-cpu 0.50" in text
    assert re.search(r"; time of mlx-cpu / numpy-cpu 0.50 \[[^]]*\] at 64, 1.25 ", text)


@pytest.mark.parametrize(("mlx", "verdict"), [(5.0, "supported"), (9.9, "not testable"), (20.0, "refuted")])
def test_mlx_on_the_cpu_ahead(mlx, verdict):
    spread = 0.3 if mlx == 9.9 else 0.001
    cells = [cell("mlx-cpu", mlx, spread=spread), cell("torch-cpu", 10.0, spread=spread),
             cell("numpy-cpu", 10.1, spread=spread)]  # fmt: skip
    assert outcome(claims.mlx_cpu_ahead, *cells) == verdict


@pytest.mark.parametrize(("torch", "verdict"), [(10.5, "supported"), (20.0, "refuted"), (5.0, "refuted")])
def test_numpy_and_torch_alike(torch, verdict):
    assert outcome(claims.numpy_and_torch, cell("numpy-cpu", 10.0), cell("torch-cpu", torch)) == verdict


@pytest.mark.parametrize(("cpu", "verdict"), [(11.0, "supported"), (30.0, "refuted")])
def test_mlx_on_the_cpu_near_the_gpu_at_one_size(cpu, verdict):
    cells = [
        cell("mlx-cpu", cpu, 64),
        cell("mlx-gpu", 10.0, 64),
        cell("mlx-cpu", 900.0, 256),
        cell("mlx-gpu", 9.0, 256),
    ]
    assert outcome(claims.mlx_cpu_near_gpu, *cells) == verdict


@pytest.mark.parametrize(
    ("mlx", "numpy", "micros", "verdict"),
    [(0.3, 0.0, 5.0, "supported"), (0.0, 0.0, 5.0, "refuted"), (0.3, 0.4, 5.0, "refuted"), (0.3, 0.0, 20.0, "refuted")],
)
def test_efficiency_cores(mlx, numpy, micros, verdict):
    cells = [cell("mlx-cpu", micros, efficiency_share=mlx), cell("numpy-cpu", 10.0, efficiency_share=numpy)]
    machine = make_machine(performance_cpus=4, efficiency_cpus=4)
    assert outcome(claims.efficiency_cores, *cells, machine=machine) == verdict


def test_efficiency_cores_that_are_not_there_or_not_read():
    cells = [cell("mlx-cpu", 5.0), cell("numpy-cpu", 10.0)]
    assert outcome(claims.efficiency_cores, *cells) == "not testable"
    assert outcome(claims.efficiency_cores, *cells, machine=make_machine(efficiency_cpus=4)) == "not testable"


def test_a_claim_without_its_backends_says_why():
    absent = make_backend("mlx-gpu", status="unavailable", reason="no gpu device here")
    finding = only(claims.mlx_gpu(view(cell("torch-gpu", 1.0), backends=[absent])))
    assert finding.verdict == "not testable"
    assert "mlx-gpu is unavailable: no gpu device here" in finding.text
    assert "torch-gpu was not asked for" in only(claims.mlx_gpu(view(cell("numpy-cpu", 1.0)))).text


@pytest.mark.parametrize(
    ("system", "mlx", "verdict"),
    [("macOS 15.1", 1.0, "supported"), ("macOS 15.1", 90.0, "refuted"), ("Linux 6.1", 1.0, "not testable")],
)
def test_copies_saved_by_unified_memory(system, mlx, verdict):
    copies = [
        make_part("mlx-gpu:from-host=pageable", "copies", mlx * MICRO),
        make_part("torch-gpu:from-host=pageable", "copies", 50 * MICRO),
    ]
    cells = [cell("mlx-gpu", 10.0), cell("torch-gpu", 10.0)]
    assert outcome(claims.unified_memory, *cells, parts=copies, machine=make_machine(system=system)) == verdict


def test_unified_memory_without_copies():
    assert outcome(claims.unified_memory, cell("numpy-cpu", 1.0)) == "not testable"


# --- All of them ------------------------------------------------------------------------------------------------------


def test_every_rule_survives_a_run_in_which_nothing_was_measured():
    for result in (make_result([]), make_result([make_cell("numpy-cpu", None, status="failed", reason="why")])):
        found = derive(result)
        assert {finding.verdict for finding in found} <= {"not testable"}


def test_every_claim_is_always_said():
    ids = {finding.id for finding in derive(make_result([cell("numpy-cpu", 1.0)]))}
    assert {id_ for id_ in ids if id_.startswith("claim-")} == {
        "claim-mlx-gpu", "claim-mlx-cpu-ahead", "claim-numpy-torch-alike", "claim-mlx-cpu-near-gpu",
        "claim-efficiency-cores", "claim-unified-memory",
    }  # fmt: skip


def test_every_sentence_ends_and_names_no_nan():
    run = mlx_calls((16, 1.0), (256, 1000.0))
    for rule in RULES:
        for finding in rule(run):
            assert finding.text.endswith((".", ")."))
            assert "nan" not in finding.text.split()
