#include "sampling.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "addresses.h"
#include "sampler.h"

namespace nb = nanobind;

namespace gemmscope::bindings {
namespace {

constexpr std::size_t largest_read = std::size_t{1} << 20;

std::tuple<std::vector<std::uint64_t>, std::vector<std::uint64_t>, std::uint64_t> stop(InstructionSampler& sampler) {
  const InstructionSamples seen = sampler.stop();
  std::vector<std::uint64_t> addresses;
  std::vector<std::uint64_t> threads;
  for (const InstructionSample& sample : seen.samples) {
    addresses.push_back(sample.address);
    threads.push_back(sample.thread);
  }
  return {std::move(addresses), std::move(threads), seen.dropped};
}

nb::bytes read(std::uint64_t address, std::size_t size) {
  if (size > largest_read) {
    throw nb::value_error("size: expected at most 1 MiB");
  }
  const std::vector<std::byte> bytes = read_memory(address, size);
  return nb::bytes(bytes.data(), bytes.size());
}

std::optional<std::tuple<std::string, std::string, std::uint64_t>> locate_tuple(std::uint64_t address) {
  const auto found = locate(address);
  if (!found) {
    return std::nullopt;
  }
  return std::tuple(found->image, found->symbol, found->offset);
}

}  // namespace

void add_sampler(nb::module_& module) {
  nb::class_<InstructionSampler>(
      module, "Sampler", nb::is_final(),
      R"(Interrupts this process every so many seconds of its processor time, all threads together.

It stores where the running thread was interrupted, by a handler that neither allocates nor locks. Linux looks at
such a timer when its scheduler ticks, every 1 to 10 ms on each processor, however short the interval. Threads that
block SIGPROF are not seen.

Args:
    interval_seconds: 0.0001 to 1.
    capacity: The most samples that are stored, at most 2**20.

Raises:
    ValueError: If one of them is out of range.)")
      .def(nb::init<double, std::size_t>(), nb::arg("interval_seconds"), nb::arg("capacity"))
      .def("start", &InstructionSampler::start, R"(Begins to interrupt this process.

Raises:
    RuntimeError: If a sampler of this process is running already, or the system refuses the timer.)")
      .def("stop", &stop, R"(Ends that, and puts back the timer and the handler that SIGPROF had before.

Returns:
    Program counters, ids of threads (as ``threading.get_native_id``), and how many samples found the buffer full.
    Nothing if it is not running.)")
      .def_prop_ro("running", &InstructionSampler::running, "Whether it was started and not stopped yet.");
  module.def("read_memory", &read, nb::arg("address"), nb::arg("size"),
             R"(Bytes of this process's memory; fewer, or none, where it cannot be read.

Raises:
    ValueError: If ``size`` is more than 1 MiB.)");
  module.def(
      "locate", &locate_tuple, nb::arg("address"),
      "The image, the exported function (or nothing) and the offset at an address; None where it is no image's.");
}

}  // namespace gemmscope::bindings
