#include "sme.h"

#include <cstdint>

#if defined(__aarch64__)
#include <sys/wait.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#else
#include <sys/auxv.h>
#endif

extern "C" void gemmscope_sme_outer_products(std::uint64_t steps, float* out);
extern "C" std::uint64_t gemmscope_sme_floats();
#endif

namespace gemmscope {

#if defined(__aarch64__)
namespace {

constexpr std::size_t tiles = 4;

bool is_said_to_be_there() {
#if defined(__APPLE__)
  int has = 0;
  std::size_t size = sizeof has;
  return sysctlbyname("hw.optional.arm.FEAT_SME", &has, &size, nullptr, 0) == 0 && has == 1;
#else
  constexpr unsigned long hwcap2_sme = 1UL << 23U;  // Linux's asm/hwcap.h, which older headers lack
  return (getauxval(AT_HWCAP2) & hwcap2_sme) != 0;
#endif
}

// The child does nothing but the step: between fork and _exit in a process with threads little else is allowed.
bool child_survives() {
  const pid_t child = fork();
  if (child == 0) {
    gemmscope_sme_outer_products(1, nullptr);
    _exit(0);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace

bool sme_works() {
  static const bool works = is_said_to_be_there() && child_survives();
  return works;
}

std::size_t sme_outer_products(std::size_t steps) {
  gemmscope_sme_outer_products(steps, nullptr);
  const auto floats = static_cast<std::size_t>(gemmscope_sme_floats());
  return steps * tiles * floats * floats * 2;
}
#else
bool sme_works() { return false; }
std::size_t sme_outer_products(std::size_t /*steps*/) { return 0; }
#endif

}  // namespace gemmscope
