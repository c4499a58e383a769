#include "sampler.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>

namespace gemmscope {

struct InstructionSampler::Buffer {
  explicit Buffer(std::size_t capacity) : samples(map(capacity), capacity) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { munmap(samples.data(), samples.size_bytes()); }

  std::span<InstructionSample> samples;  // its size is the capacity, and never changes
  std::atomic<std::uint64_t> next{0};    // counts on when the buffer is full

 private:
  // Not from malloc: freeing something large changes how glibc's serves the calls that are timed afterwards.
  static InstructionSample* map(std::size_t capacity) {
    void* memory =
        mmap(nullptr, capacity * sizeof(InstructionSample), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    return static_cast<InstructionSample*>(memory);
  }
};

struct InstructionSampler::Saved {
  struct sigaction handler{};
  struct itimerval timer{};
};

namespace {

constexpr double shortest_interval = 1e-4;
constexpr double longest_interval = 1.0;
constexpr std::size_t largest_capacity = std::size_t{1} << 20;

// Shared with the handler, which runs in any thread at any moment.
std::atomic<InstructionSampler::Buffer*> active{nullptr};
std::atomic<int> handlers{0};               // running now
std::atomic_flag taken = ATOMIC_FLAG_INIT;  // by the sampler that is running
static_assert(std::atomic<InstructionSampler::Buffer*>::is_always_lock_free, "a handler may not lock");
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "a handler may not lock");
static_assert(std::atomic<int>::is_always_lock_free, "a handler may not lock");

std::uint64_t program_counter(void* context) noexcept {
  const auto* machine = static_cast<const ucontext_t*>(context);
#if defined(__linux__) && defined(__x86_64__)
  return static_cast<std::uint64_t>(machine->uc_mcontext.gregs[REG_RIP]);
#elif defined(__linux__) && defined(__aarch64__)
  return machine->uc_mcontext.pc;
#elif defined(__APPLE__) && defined(__aarch64__)
  return machine->uc_mcontext->__ss.__pc;
#elif defined(__APPLE__) && defined(__x86_64__)
  return machine->uc_mcontext->__ss.__rip;
#else
#error "where does this system keep the program counter of an interrupted thread?"
#endif
}

// Async-signal-safe: a system call on Linux, a field of the thread's own structure on macOS.
std::uint64_t thread_id() noexcept {
#if defined(__linux__)
  return static_cast<std::uint64_t>(syscall(SYS_gettid));
#else
  std::uint64_t id = 0;
  pthread_threadid_np(nullptr, &id);
  return id;
#endif
}

// No allocation, no lock, no call that is not async-signal-safe (signal-safety(7)), and errno is as it was.
void on_signal(int /*signal*/, siginfo_t* /*info*/, void* context) {
  const int error = errno;
  // Counted before the buffer is looked up: stop() takes the buffer away first, and then waits for this count.
  handlers.fetch_add(1);
  if (InstructionSampler::Buffer* buffer = active.load(); buffer != nullptr) {
    const std::uint64_t i = buffer->next.fetch_add(1);
    if (i < buffer->samples.size()) {
      buffer->samples[i] = {program_counter(context), thread_id()};
    }
  }
  handlers.fetch_sub(1);
  errno = error;
}

[[noreturn]] void refuse(const char* call, int error) {
  throw std::runtime_error(std::string("the system refuses a profiling timer (") + call + ": " +
                           std::generic_category().message(error) + ")");
}

itimerval timer_of(double seconds) {
  itimerval timer{};
  const auto microseconds = static_cast<long>(std::lround(1e6 * seconds));
  timer.it_interval.tv_sec = static_cast<decltype(timer.it_interval.tv_sec)>(microseconds / 1'000'000);
  timer.it_interval.tv_usec = static_cast<decltype(timer.it_interval.tv_usec)>(microseconds % 1'000'000);
  timer.it_value = timer.it_interval;
  return timer;
}

// Without a moment in which a late signal would meet the default action, which is to end the process: ignoring a signal
// discards those that are pending (sigaction(2)).
void restore_handler(const struct sigaction& before) noexcept {
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigemptyset(&ignore.sa_mask);
  sigaction(SIGPROF, &ignore, nullptr);
#if defined(__APPLE__)
  // A timer of macOS sends its signal from the interrupted thread's own way back into the program, and nothing says
  // that no thread is on it still. The default is not put back there: nobody else sends this signal.
  if ((before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL) {
    return;
  }
#endif
  sigaction(SIGPROF, &before, nullptr);
}

}  // namespace

InstructionSampler::InstructionSampler(double interval_seconds, std::size_t capacity)
    : interval_seconds_(interval_seconds) {
  // Not "< or >": neither holds for a NaN.
  if (!(interval_seconds >= shortest_interval && interval_seconds <= longest_interval)) {
    throw std::invalid_argument("interval_seconds: expected 0.0001 to 1, got " + std::to_string(interval_seconds));
  }
  if (capacity < 1 || capacity > largest_capacity) {
    throw std::invalid_argument("capacity: expected 1 to " + std::to_string(largest_capacity) + ", got " +
                                std::to_string(capacity));
  }
  buffer_ = std::make_unique<Buffer>(capacity);
}

InstructionSampler::~InstructionSampler() {
  // Not stop(): what that allocates may not be there, and nothing may be thrown here.
  halt();
}

void InstructionSampler::start() {
  if (taken.test_and_set()) {
    throw std::runtime_error("a sampler of this process is running already");
  }
  auto saved = std::make_unique<Saved>();
  buffer_->next = 0;
  struct sigaction action{};
  action.sa_sigaction = &on_signal;
  // Interrupted system calls go on where they can. On the thread's own stack, not on an alternate one (SA_ONSTACK):
  // those may be too small for the registers of AVX-512 and AMX, which the kernel stores there.
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGPROF, &action, &saved->handler) != 0) {
    const int error = errno;
    taken.clear();
    refuse("sigaction", error);
  }
  active = buffer_.get();
  const itimerval timer = timer_of(interval_seconds_);
  if (setitimer(ITIMER_PROF, &timer, &saved->timer) != 0) {
    const int error = errno;
    active = nullptr;
    restore_handler(saved->handler);
    taken.clear();
    refuse("setitimer", error);
  }
  saved_ = std::move(saved);
}

void InstructionSampler::halt() noexcept {
  if (!running()) {
    return;
  }
  const itimerval none{};
  setitimer(ITIMER_PROF, &none, nullptr);
  active = nullptr;
  // A handler that found the buffer still writes to it. It may be that of a thread that has no processor now.
  while (handlers != 0) {
    sched_yield();
  }
  restore_handler(saved_->handler);
  setitimer(ITIMER_PROF, &saved_->timer, nullptr);
  saved_.reset();
  taken.clear();
}

InstructionSamples InstructionSampler::stop() {
  InstructionSamples seen;
  if (!running()) {
    return seen;
  }
  halt();
  const std::uint64_t interruptions = buffer_->next;
  const auto stored = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(interruptions, buffer_->samples.size()));
  seen.samples.assign(buffer_->samples.begin(), buffer_->samples.begin() + stored);
  seen.dropped = interruptions - static_cast<std::uint64_t>(stored);
  return seen;
}

}  // namespace gemmscope
