// Instruction sampling for Python, a part of gemmscope._kernels.
#pragma once

#include <nanobind/nanobind.h>

namespace gemmscope::bindings {

// Adds Sampler, read_memory and locate to a module.
void add_sampler(nanobind::module_& module);

}  // namespace gemmscope::bindings
