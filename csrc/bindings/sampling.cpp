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
  nb::class_<InstructionSampler>(module, "Sampler", "Interrupts this process, and stores what it was executing.")
      .def(nb::init<double, std::size_t>(), nb::arg("interval_seconds"), nb::arg("capacity"))
      .def("start", &InstructionSampler::start, "Begins to interrupt this process.")
      .def("stop", &stop, "Ends that: (program counters, thread ids, how many found the buffer full).")
      .def_prop_ro("running", &InstructionSampler::running, "Whether it was started and not stopped yet.");
  module.def("read_memory", &read, nb::arg("address"), nb::arg("size"),
             "Bytes of this process's memory; fewer, or none, where it cannot be read.");
  module.def("locate", &locate_tuple, nb::arg("address"),
             "(image, symbol, offset in the image) of an address, or None where it is no image's.");
}

}  // namespace gemmscope::bindings
