"""What looks wrong where nothing was measured, on made-up machines; a healthy one has nothing wrong."""

from __future__ import annotations

import pytest

from gemmscope.analysis.checkup import check
from gemmscope.backends import preload
from gemmscope.records.evidence import LibraryThreads, Surroundings, Throttling
from tests.builders import make_backend, make_machine, make_result, make_worker

AVX512 = ["avx", "avx2", "avx512bw", "avx512dq", "avx512f", "avx512vl", "fma", "sse"]
PACKAGES = "/env/lib/python3.11/site-packages"
OPENBLAS = LibraryThreads(
    image=f"{PACKAGES}/numpy.libs/libscipy_openblas64_-1.so", kind="OpenBLAS", threads=8, core="SkylakeX",
    description="OpenBLAS 0.3.31 USE64BITINT",
)  # fmt: skip
MKL = LibraryThreads(image=f"{PACKAGES}/torch/lib/libtorch_cpu.so", kind="MKL", threads=8)
NETLIB = LibraryThreads(image=f"{PACKAGES}/mlx_cpu.libs/libblas-bd8a282c.so.3", kind="reference BLAS", threads=1)
GOMP = LibraryThreads(image=f"{PACKAGES}/torch/lib/libgomp.so.1", kind="OpenMP", threads=8)
IDLE = Throttling(affinity=8)


def changed(library, **changes):
    return LibraryThreads(**{field: getattr(library, field) for field in library.__struct_fields__} | changes)


def worker(name="numpy", calls=OPENBLAS, others=(), **variables):
    facts = {"numpy": "2.4.6", "torch": "2.13.0", "mlx": "0.32.4", "numpy wheel": ["cp311-cp311-manylinux_2_28_x86_64"]}
    return make_worker(
        name, libraries=[calls, *others], variables=variables, provenance=facts,
        backends={f"kernel-{name}": {"blas image": calls.image}},
    )  # fmt: skip


def checked(*workers, backends=(), surroundings=(), throttling=IDLE, **machine):
    """The check-up of a machine with eight Intel processors, unless told."""
    hardware = {"vendor": "GenuineIntel", "cpu_flags": AVX512, "usable_cpus": 8.0, "load_average": (0.1, 0.2, 0.3)}
    records = [make_backend(f"{one.worker}-cpu", worker=one.worker) for one in workers]
    result = make_result(
        [], backends=[*records, *backends], workers=list(workers), surroundings=list(surroundings),
        machine=make_machine(**hardware | machine),
    )  # fmt: skip
    return check(result, throttling)


def suspected(*workers, **more):
    return {(one.id, one.subject): one for one in checked(*workers, **more).suspicions}


def test_a_variable_without_effect_is_suspected():
    text = "OPENBLAS_CORETYPE=Hasswell was not heeded: OpenBLAS has taken its kernels for SkylakeX"
    healthy = make_result([], backends=[], machine=make_machine(usable_cpus=8.0, load_average=None), warnings=[text])
    (found,) = check(healthy, IDLE).suspicions
    assert (found.id, found.subject, found.text) == ("variable-without-effect", "OPENBLAS_CORETYPE", f"{text}.")
    assert found.remedy == "unset OPENBLAS_CORETYPE, or mend its value"


def test_nothing_is_wrong_with_a_healthy_machine():
    found = checked(worker(), worker("torch", MKL, [OPENBLAS, GOMP]))
    assert found.suspicions == []
    assert [(one.name, one.status, one.blas) for one in found.libraries] == [
        ("numpy", "ok", OPENBLAS), ("torch", "ok", MKL),
    ]  # fmt: skip
    assert found.libraries[0].versions == {"numpy": "2.4.6"}
    assert found.libraries[1].openmp == [GOMP]


@pytest.mark.parametrize(
    ("workers", "machine", "expected", "said", "remedy"),
    [
        ([worker(calls=changed(OPENBLAS, core="Haswell"), OPENBLAS_CORETYPE="Haswell")], {},
         ("environment-variable", "OPENBLAS_CORETYPE"), "AVX2 kernels (Haswell) on a CPU with AVX-512",
         "unset OPENBLAS_CORETYPE"),
        ([worker(calls=changed(OPENBLAS, threads=1), OMP_NUM_THREADS="1")], {},
         ("environment-variable", "OMP_NUM_THREADS"), "1 thread for 8 processors", "unset OMP_NUM_THREADS"),
        ([worker(LD_PRELOAD="/nope/rubbish.so")], {},
         ("environment-variable", "LD_PRELOAD"), "LD_PRELOAD=/nope/rubbish.so is set", "unset LD_PRELOAD"),
        ([worker(calls=changed(OPENBLAS, core="Prescott"))], {},
         ("old-kernels", "Prescott"), "SSE kernels", "export OPENBLAS_CORETYPE=SkylakeX"),
        ([worker("torch", MKL, [OPENBLAS])], {"vendor": "AuthenticAMD"}, ("mkl-on-amd", "MKL"), "this one is AMD's",
         "LD_PRELOAD=$(gemmscope blas-shim) python your_program.py"),
        ([worker("mlx", NETLIB, [OPENBLAS])], {}, ("reference-blas", "libblas"), "calls the reference BLAS",
         "LD_PRELOAD=$(gemmscope blas-shim) python your_program.py"),
        ([worker()], {"usable_cpus": 4.0}, ("too-many-threads", "8"), "pool has 8 threads, and the run may use 4",
         "export OMP_NUM_THREADS=4 OPENBLAS_NUM_THREADS=4 MKL_NUM_THREADS=4"),
        ([worker(calls=changed(OPENBLAS, threads=2))], {}, ("too-few-threads", "2"), "2 threads of 8 processors",
         "export OMP_NUM_THREADS=8 OPENBLAS_NUM_THREADS=8 MKL_NUM_THREADS=8"),
    ],
)  # fmt: skip
def test_each_suspicion_says_what_to_change_and_how_to_confirm_it(workers, machine, expected, said, remedy):
    found = suspected(*workers, **machine)
    assert list(found) == [expected]
    one = found[expected]
    assert said in one.text
    assert one.text.startswith(f"{one.backends[0]}: ")
    assert (one.remedy, one.confirm) == (remedy, f"gemmscope diagnose {one.backends[0]}")


def test_two_openmp_runtimes_in_one_process():
    other = LibraryThreads(image="/env/lib/libiomp5.so", kind="OpenMP", threads=8)
    found = suspected(worker("torch", MKL, [GOMP, other]))
    (one,) = found.values()
    assert one.id == "two-openmp"
    assert "libgomp" in one.text
    assert "libiomp5" in one.text
    assert one.confirm == ""


@pytest.mark.parametrize(
    ("governor", "driver", "is_wrong"),
    [
        ("powersave", "acpi-cpufreq", True), ("powersave", "intel_cpufreq", True), ("powersave", "amd-pstate", True),
        ("powersave", "intel_pstate", False), ("powersave", "amd-pstate-epp", False), ("powersave", None, False),
        ("schedutil", "acpi-cpufreq", False), (None, None, False), ("performance, powersave", "cppc_cpufreq", True),
    ],
)  # fmt: skip
def test_powersave_is_wrong_only_where_it_means_the_lowest_frequency(governor, driver, is_wrong):
    found = suspected(worker(), governor=governor, scaling_driver=driver)
    assert [id_ for id_, _ in found] == (["governor"] if is_wrong else [])


@pytest.mark.parametrize(("load", "is_wrong"), [(0.9, False), (1.1, False), (1.3, True), (8.0, True)])
def test_a_load_is_something_else_that_runs(load, is_wrong):
    found = suspected(worker(), load_average=(load, 0.0, 0.0))
    assert list(found) == ([("busy-machine", "load")] if is_wrong else [])


def test_other_programs_are_named_and_said_once():
    busy = Surroundings(set=0, seconds=2.0, processors=8, other_seconds=8.0, others={"chrom\x1bium": 7.0})
    (one,) = suspected(worker(), surroundings=[busy], load_average=(9.0, 9.0, 9.0)).values()
    assert one.text == "Other programs took 50 % of the processors' time, most of all chrom ium."
    assert one.backends == []


def test_a_quota_is_said_with_the_pool_that_is_too_large_or_else_by_itself():
    quota = Throttling(affinity=8, quota=4.0, periods=20, throttled=10)
    seen = Surroundings(set=0, seconds=2.0, processors=8, throttling=quota)
    fits = worker(calls=changed(OPENBLAS, threads=4))
    (one,) = suspected(fits, surroundings=[seen], usable_cpus=4.0).values()
    assert (one.id, one.backends, one.subject) == ("cpu-quota", [], "4")
    assert one.text == "A quota allows 4 of 8 processors, and stopped the program in 50 % of the periods."
    (one,) = suspected(worker(), surroundings=[seen], usable_cpus=4.0).values()
    assert (one.id, one.backends) == ("cpu-quota", ["numpy-cpu"])


@pytest.mark.parametrize(
    ("variables", "machine"),
    [
        ({"OMP_NUM_THREADS": "8"}, {}),
        ({"OPENBLAS_CORETYPE": "SkylakeX"}, {}),
        ({"MKL_NUM_THREADS": "1"}, {}),  # of a BLAS that is not called
        ({"MLX_ENABLE_TF32": "0"}, {}),
        ({"OPENBLAS_VERBOSE": "2"}, {}),
        ({}, {"physical_cpus": 4}),
    ],
)  # fmt: skip
def test_what_does_no_harm_is_no_suspicion(variables, machine):
    assert suspected(worker(**variables), **machine) == {}


def test_one_thread_for_each_core_is_as_good_as_one_for_each_processor():
    four = worker(calls=changed(OPENBLAS, threads=4))
    assert suspected(four, physical_cpus=4) == {}
    assert suspected(four, physical_cpus=8)


@pytest.mark.skipif(not preload._LIBRARY.exists(), reason="this build has no library to preload")
def test_whoever_follows_the_advice_is_not_told_to_undo_it():
    assert suspected(worker(LD_PRELOAD=str(preload.library()))) == {}


def test_the_same_is_said_once_for_all_backends():
    found = suspected(worker(LD_PRELOAD="/a.so"), worker("torch", MKL, LD_PRELOAD="/a.so"))
    (one,) = found.values()
    assert one.backends == ["numpy-cpu", "torch-cpu"]
    assert one.text.startswith("numpy-cpu and torch-cpu: LD_PRELOAD=/a.so is set")


def test_variables_say_which_libraries_obey_them():
    many = {"OPENBLAS_CORETYPE": "SkylakeX", "NVPL_BLAS_X": "1"}
    found = checked(worker(**many), worker("torch", MKL, [OPENBLAS], **many))
    assert [(one.name, one.readers, one.libraries) for one in found.variables] == [
        ("NVPL_BLAS_X", ["NVPL BLAS"], []), ("OPENBLAS_CORETYPE", ["OpenBLAS"], ["numpy"]),
    ]  # fmt: skip


def test_a_library_that_crashes_is_wrong_and_one_that_is_not_installed_is_not():
    broken = make_backend("torch-cpu", status="failed", reason="its process was killed by SIGABRT")
    absent = make_backend("mlx-cpu", status="unavailable", reason="No module named 'mlx'", remedy="pip install mlx")
    found = checked(worker(), backends=[broken, absent])
    assert [(one.id, one.subject) for one in found.suspicions] == [("broken-library", "torch")]
    assert "SIGABRT" in found.suspicions[0].text
    assert [(one.name, one.status, one.remedy) for one in found.libraries[1:]] == [
        ("torch", "failed", ""), ("mlx", "unavailable", "pip install mlx"),
    ]  # fmt: skip


def test_without_any_library_there_is_an_answer():
    records = [make_backend(f"{name}-cpu", status="failed", reason="gone") for name in ("numpy", "torch")]
    found = checked(backends=records)
    assert [one.subject for one in found.suspicions] == ["numpy", "torch"]
    assert found.variables == []
