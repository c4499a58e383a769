// What only macOS says of a process and a machine, without root. On other systems each of them is nothing.
// Never run on macOS: ci/macos compiles it against its headers and executes it in an emulator, with answers of our own.
#pragma once

#include <cstdint>
#include <optional>

namespace gemmscope {

// What this process has used since it began: times in ticks of the system's clock, energy in nanojoules.
struct ProcessUse {
  std::uint64_t ticks = 0;              // user and system, on all cores
  std::uint64_t performance_ticks = 0;  // of these, on performance cores
  std::uint64_t nanojoules = 0;         // 0 where the machine does not count it
  std::uint64_t cycles = 0;             // of the cores' own clocks; 0 where the machine does not count them
};

std::optional<ProcessUse> process_use() noexcept;

// Seconds of one tick: 1/24 µs on Apple silicon so far.
std::optional<double> tick_seconds() noexcept;

// NSProcessInfo's thermalState: 0 nominal, 1 fair, 2 serious, 3 critical.
std::optional<int> thermal_state() noexcept;

// NSProcessInfo's isLowPowerModeEnabled.
std::optional<bool> low_power_mode() noexcept;

// Makes this process and all its threads background work, which Apple silicon runs on efficiency cores only.
// False where that is refused, or where no system does so.
bool run_in_background() noexcept;

}  // namespace gemmscope
