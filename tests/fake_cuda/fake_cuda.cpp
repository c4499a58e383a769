// CUDA's runtime and cuBLAS, as far as gemmscope calls them, on the host: device memory is the heap, a stream runs when
// it is waited for, every product takes one millisecond of the device's clock. Loaded as libcudart and as libcublas.
//
// FAKE_CUDA_FREE is the bytes that are free, FAKE_CUDA_FAIL a function that reports an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int out_of_memory = 2;
constexpr int unknown = 999;
constexpr int tf32_math = 3;

using Work = std::function<void()>;
std::map<void*, std::vector<Work>> streams;
std::map<void*, std::size_t> allocations;
std::map<void*, float> events;
float clock_milliseconds = 0.0F;
int devices = 1;

struct Handle {
  void* stream = nullptr;
  int math = -1;
};
int last_math = -1;

bool fails(const char* function) {
  const char* named = std::getenv("FAKE_CUDA_FAIL");
  return named != nullptr && std::string(named) == function;
}

std::size_t free_bytes() {
  const char* text = std::getenv("FAKE_CUDA_FREE");
  std::size_t free = text != nullptr ? std::strtoull(text, nullptr, 10) : std::size_t{1} << 30U;
  for (const auto& [memory, bytes] : allocations) {
    free -= bytes < free ? bytes : free;
  }
  return free;
}

// Ten bits of mantissa, as the tensor cores read them.
float tf32(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  bits &= 0xffffe000U;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

}  // namespace

EXPORT const char* cudaGetErrorName(int error) {
  return error == out_of_memory ? "cudaErrorMemoryAllocation" : "cudaErrorUnknown";
}
EXPORT const char* cudaGetErrorString(int error) { return error == out_of_memory ? "out of memory" : "unknown error"; }

EXPORT int cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return 0;
}

EXPORT int cudaGetDeviceCount(int* count) {
  *count = devices;
  return fails("cudaGetDeviceCount") ? unknown : 0;
}

EXPORT int cudaSetDevice(int) { return fails("cudaSetDevice") ? unknown : 0; }

EXPORT int cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = free_bytes();
  *total = std::size_t{1} << 30U;
  return 0;
}

EXPORT int cudaMalloc(void** memory, std::size_t bytes) {
  if (fails("cudaMalloc") || bytes > free_bytes()) {
    return out_of_memory;
  }
  *memory = std::malloc(bytes);
  allocations[*memory] = bytes;
  return 0;
}

EXPORT int cudaFree(void* memory) {
  allocations.erase(memory);
  std::free(memory);
  return 0;
}

// From pageable memory: what is read is staged at once, and arrives when the stream comes to it. The default stream is
// one that nobody waits for.
EXPORT int cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, int kind, void* stream) {
  constexpr int host_to_device = 1;
  if (kind == host_to_device) {
    const auto* begin = static_cast<const std::byte*>(from);
    streams[stream].emplace_back(
        [to, staged = std::vector<std::byte>(begin, begin + bytes)] { std::memcpy(to, staged.data(), staged.size()); });
  } else {
    streams[stream].emplace_back([=] { std::memcpy(to, from, bytes); });
  }
  return 0;
}

EXPORT int cudaStreamCreateWithFlags(void** stream, unsigned int) {
  *stream = new char;
  streams[*stream];
  return 0;
}

EXPORT int cudaStreamDestroy(void* stream) {
  streams.erase(stream);
  delete static_cast<char*>(stream);
  return 0;
}

EXPORT int cudaStreamSynchronize(void* stream) {
  std::vector<Work> work;
  work.swap(streams[stream]);
  for (const Work& item : work) {
    item();
  }
  return fails("cudaStreamSynchronize") ? unknown : 0;
}

EXPORT int cudaLaunchHostFunc(void* stream, void (*function)(void*), void* argument) {
  streams[stream].emplace_back([=] { function(argument); });
  return 0;
}

EXPORT int cudaEventCreate(void** event) {
  *event = new char;
  return 0;
}

EXPORT int cudaEventDestroy(void* event) {
  events.erase(event);
  delete static_cast<char*>(event);
  return 0;
}

EXPORT int cudaEventRecord(void* event, void* stream) {
  streams[stream].emplace_back([=] { events[event] = clock_milliseconds; });
  return 0;
}

EXPORT int cudaEventElapsedTime(float* milliseconds, void* begin, void* end) {
  *milliseconds = events.at(end) - events.at(begin);
  return 0;
}

EXPORT const char* cublasGetStatusName(int) { return "CUBLAS_STATUS_EXECUTION_FAILED"; }

EXPORT int cublasCreate_v2(void** handle) {
  *handle = new Handle;
  return 0;
}

EXPORT int cublasDestroy_v2(void* handle) {
  delete static_cast<Handle*>(handle);
  return 0;
}

EXPORT int cublasSetStream_v2(void* handle, void* stream) {
  static_cast<Handle*>(handle)->stream = stream;
  return 0;
}

EXPORT int cublasSetMathMode(void* handle, int math) {
  static_cast<Handle*>(handle)->math = math;
  last_math = math;
  return 0;
}

EXPORT int cublasGetVersion_v2(void*, int* version) {
  *version = 130000;
  return 0;
}

// Column-major, neither operand transposed: all that gemmscope asks for.
EXPORT int cublasSgemm_v2(void* handle, int transpose_a, int transpose_b, int m, int n, int k, const float* alpha,
                          const float* a, int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
  const bool bad = transpose_a != 0 || transpose_b != 0 || *alpha != 1.0F || *beta != 0.0F || m < 0 || n < 0 || k < 0 ||
                   lda < (m > 1 ? m : 1) || ldb < (k > 1 ? k : 1) || ldc < (m > 1 ? m : 1);
  if (bad || fails("cublasSgemm_v2")) {
    return 13;
  }
  const Handle& known = *static_cast<Handle*>(handle);
  const bool reduced = known.math == tf32_math;
  streams[known.stream].emplace_back([=] {
    for (std::int64_t column = 0; column < n; ++column) {
      for (std::int64_t row = 0; row < m; ++row) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < k; ++i) {
          const float left = a[i * lda + row];
          const float right = b[column * ldb + i];
          sum += reduced ? double{tf32(left)} * double{tf32(right)} : double{left} * double{right};
        }
        c[column * ldc + row] = static_cast<float>(sum);
      }
    }
    clock_milliseconds += 1.0F;
  });
  return 0;
}

// For the tests: what was asked for last, what is still taken, and how many devices there are.
EXPORT int fake_math_mode() { return last_math; }
EXPORT std::size_t fake_allocated() { return allocations.size(); }
EXPORT void fake_set_devices(int count) { devices = count; }
