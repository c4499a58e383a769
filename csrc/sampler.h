// Instruction sampling: where a process spends its processor time, seen from inside and without symbols or privileges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace gemmscope {

// One interruption: what the interrupted thread was about to execute.
struct InstructionSample {
  std::uint64_t address = 0;  // the program counter
  std::uint64_t thread = 0;   // as the system numbers threads: gettid on Linux, pthread_threadid_np on macOS
};

struct InstructionSamples {
  std::vector<InstructionSample> samples;
  std::uint64_t dropped = 0;  // interruptions that found the buffer full
};

// Interrupts this process every so many seconds of its processor time, all threads counted together, and stores the
// program counter of the thread that was running.
//
// The timer is ITIMER_PROF. It counts the time of all threads, those started later too, and the kernels of Linux and
// macOS send its signal to the thread on whose processor it expired. A timer of timer_create on the process's CPU clock
// counts the same, but Linux before 6.4 sends its signal to the main thread, which may be asleep (commit bcb7ee79029d),
// and macOS has none. On Linux both are looked at when the scheduler ticks: every 1 to 10 ms on each processor, however
// short the interval.
//
// At most one sampler of a process runs at a time. Threads that block SIGPROF are not seen.
class InstructionSampler {
 public:
  // Throws std::invalid_argument unless interval_seconds is between 100 µs and 1 s, and capacity between 1 and 2^20.
  InstructionSampler(double interval_seconds, std::size_t capacity);
  InstructionSampler(const InstructionSampler&) = delete;
  InstructionSampler& operator=(const InstructionSampler&) = delete;
  ~InstructionSampler();  // stops

  // Throws std::runtime_error if a sampler of this process is running, or if the system refuses the timer.
  void start();

  // Puts back the timer and the signal's handler that were there before, and returns what was seen since start().
  // Nothing where the sampler is not running. On macOS the signal is ignored afterwards where it had no handler.
  InstructionSamples stop();

  [[nodiscard]] bool running() const noexcept { return saved_ != nullptr; }

  struct Buffer;  // what the signal's handler writes to

 private:
  struct Saved;

  // Puts back the timer and the handler, if it is running.
  void halt() noexcept;

  double interval_seconds_;
  std::unique_ptr<Buffer> buffer_;
  std::unique_ptr<Saved> saved_;  // while running: the timer and the handler of before
};

}  // namespace gemmscope
