#include "macos.h"

#if defined(__APPLE__)
#include <dlfcn.h>
#include <libproc.h>
#include <mach/mach_time.h>
#include <objc/message.h>
#include <objc/runtime.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace gemmscope {

#if defined(__APPLE__)
namespace {

// Sends NSProcessInfo's one object a message without arguments. objc_msgSend has no type of its own: it is called as
// what the method is.
template <class Value>
std::optional<Value> ask_process_info(const char* message) noexcept {
  // The class is Foundation's, which a process without windows need not have loaded.
  static const bool loaded = dlopen("/System/Library/Frameworks/Foundation.framework/Foundation", RTLD_LAZY) != nullptr;
  const auto process_info = loaded ? reinterpret_cast<id>(objc_getClass("NSProcessInfo")) : nullptr;
  if (process_info == nullptr) {
    return std::nullopt;
  }
  const auto get = reinterpret_cast<id (*)(id, SEL)>(&objc_msgSend);
  const auto ask = reinterpret_cast<Value (*)(id, SEL)>(&objc_msgSend);
  const id own = get(process_info, sel_registerName("processInfo"));
  if (own == nullptr) {
    return std::nullopt;
  }
  return ask(own, sel_registerName(message));
}

}  // namespace

std::optional<ProcessUse> process_use() noexcept {
  rusage_info_v6 info{};
  // The parameter's type is a void**, and a pointer to the structure is meant.
  if (proc_pid_rusage(getpid(), RUSAGE_INFO_V6, reinterpret_cast<rusage_info_t*>(&info)) != 0) {
    return std::nullopt;
  }
  return ProcessUse{.ticks = info.ri_user_time + info.ri_system_time,
                    .performance_ticks = info.ri_user_ptime + info.ri_system_ptime,
                    .nanojoules = info.ri_energy_nj,
                    .cycles = info.ri_cycles};
}

std::optional<double> tick_seconds() noexcept {
  mach_timebase_info_data_t base{};
  if (mach_timebase_info(&base) != KERN_SUCCESS || base.denom == 0) {
    return std::nullopt;
  }
  return 1e-9 * base.numer / base.denom;
}

std::optional<int> thermal_state() noexcept {
  const auto state = ask_process_info<long>("thermalState");  // an NSInteger
  return state ? std::optional(static_cast<int>(*state)) : std::nullopt;
}

std::optional<bool> low_power_mode() noexcept {
  const auto enabled = ask_process_info<BOOL>("isLowPowerModeEnabled");
  return enabled ? std::optional(*enabled != NO) : std::nullopt;
}

bool run_in_background() noexcept { return setpriority(PRIO_DARWIN_PROCESS, 0, PRIO_DARWIN_BG) == 0; }
#else
std::optional<ProcessUse> process_use() noexcept { return std::nullopt; }
std::optional<double> tick_seconds() noexcept { return std::nullopt; }
std::optional<int> thermal_state() noexcept { return std::nullopt; }
std::optional<bool> low_power_mode() noexcept { return std::nullopt; }
bool run_in_background() noexcept { return false; }
#endif

}  // namespace gemmscope
