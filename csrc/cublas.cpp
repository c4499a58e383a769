#include "cublas.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>

#include "symbols.h"
#include "timing.h"

namespace gemmscope {
namespace {

// Values of CUDA's and cuBLAS's headers. Both keep them from one major version to the next.
constexpr int success = 0;
constexpr int host_to_device = 1;
constexpr int device_to_host = 2;
constexpr unsigned int non_blocking_stream = 1;
constexpr int not_transposed = 0;
constexpr int first_device = 0;

// A held-up stream takes about a thousand entries before the call that adds one blocks; a GEMM can be several.
constexpr std::size_t most_queued = 128;
// However the queue fills, the stream goes on after this.
constexpr std::chrono::seconds longest_hold(1);

class Library {
 public:
  Library(const char* what, const std::string& path) : what_(what) {
    // Global, because libcublas and the profilers look functions up in the runtime that is there.
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (handle_ == nullptr) {
      const char* reason = dlerror();
      throw std::runtime_error(what_ + " cannot be loaded: " + (reason != nullptr ? reason : path));
    }
  }

  template <class Function>
  void find(Function& function, const char* name) {
    void* address = dlsym(handle_, name);
    if (address == nullptr) {
      throw std::runtime_error(what_ + " does not export " + name);
    }
    image_ = image_of(address);
    function = reinterpret_cast<Function>(address);
  }

  [[nodiscard]] const std::string& image() const { return image_; }

 private:
  std::string what_;
  // Never closed: CUDA's libraries have threads and exit handlers of their own.
  void* handle_ = nullptr;
  std::string image_;
};

std::string in_mebibytes(std::size_t bytes) { return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB"; }

// Holds a stream up until it is let go, or has waited long enough. Lives until the stream has passed it.
struct Gate {
  std::atomic<bool> open{false};

  static void hold(void* gate) {
    const auto end = std::chrono::steady_clock::now() + longest_hold;
    while (!static_cast<Gate*>(gate)->open.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
  }
};

void check_fit(const Operand& a, const Operand& b, const Operand& first_a, const Operand& first_b) {
  check_operands(a, b);
  if (a.rows != first_a.rows || a.columns != first_a.columns || b.columns != first_b.columns) {
    throw std::invalid_argument("pairs: expected operands of one shape");
  }
  for (const Operand& operand : {a, b}) {
    const bool by_rows = (operand.rows <= 1 || operand.row_stride == operand.columns) &&
                         (operand.columns <= 1 || operand.column_stride == 1);
    if (!operand.empty() && !by_rows) {
      throw std::invalid_argument("pairs: expected C-contiguous matrices");
    }
  }
}

}  // namespace

struct CudaApi {
  CudaApi(const std::string& runtime, const std::string& cublas) : cuda("CUDA's runtime (libcudart)", runtime) {
    cuda.find(error_name, "cudaGetErrorName");
    cuda.find(error_string, "cudaGetErrorString");
    cuda.find(runtime_version, "cudaRuntimeGetVersion");
    cuda.find(device_count, "cudaGetDeviceCount");
    cuda.find(set_device, "cudaSetDevice");
    cuda.find(memory_info, "cudaMemGetInfo");
    cuda.find(allocate, "cudaMalloc");
    cuda.find(release, "cudaFree");
    cuda.find(copy, "cudaMemcpyAsync");
    cuda.find(make_stream, "cudaStreamCreateWithFlags");
    cuda.find(destroy_stream, "cudaStreamDestroy");
    cuda.find(wait, "cudaStreamSynchronize");
    cuda.find(call_host, "cudaLaunchHostFunc");
    cuda.find(make_event, "cudaEventCreate");
    cuda.find(destroy_event, "cudaEventDestroy");
    cuda.find(record, "cudaEventRecord");
    cuda.find(milliseconds, "cudaEventElapsedTime");
    // After the runtime: libcublas asks the loader for what it needs by the same names, and finds it loaded.
    blas.emplace("cuBLAS (libcublas)", cublas);
    blas->find(status_name, "cublasGetStatusName");
    blas->find(make_handle, "cublasCreate_v2");
    blas->find(destroy_handle, "cublasDestroy_v2");
    blas->find(set_stream, "cublasSetStream_v2");
    blas->find(set_math, "cublasSetMathMode");
    blas->find(sgemm, "cublasSgemm_v2");
    blas->find(blas_version, "cublasGetVersion_v2");
  }

  void check(int error, const char* call) const {
    if (error != success) {
      throw std::runtime_error(std::string(call) + " failed with " + error_name(error) + ": " + error_string(error));
    }
  }

  void check_blas(int status, const char* call) const {
    if (status != success) {
      throw std::runtime_error(std::string(call) + " failed with " + status_name(status));
    }
  }

  Library cuda;
  std::optional<Library> blas;

  const char* (*error_name)(int) = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*runtime_version)(int*) = nullptr;
  int (*device_count)(int*) = nullptr;
  int (*set_device)(int) = nullptr;
  int (*memory_info)(std::size_t*, std::size_t*) = nullptr;
  int (*allocate)(void**, std::size_t) = nullptr;
  int (*release)(void*) = nullptr;
  int (*copy)(void*, const void*, std::size_t, int, void*) = nullptr;
  int (*make_stream)(void**, unsigned int) = nullptr;
  int (*destroy_stream)(void*) = nullptr;
  int (*wait)(void*) = nullptr;
  int (*call_host)(void*, void (*)(void*), void*) = nullptr;
  int (*make_event)(void**) = nullptr;
  int (*destroy_event)(void*) = nullptr;
  int (*record)(void*, void*) = nullptr;
  int (*milliseconds)(float*, void*, void*) = nullptr;

  const char* (*status_name)(int) = nullptr;
  int (*make_handle)(void**) = nullptr;
  int (*destroy_handle)(void*) = nullptr;
  int (*set_stream)(void*, void*) = nullptr;
  int (*set_math)(void*, int) = nullptr;
  int (*sgemm)(void*, int, int, int, int, int, const float*, const float*, int, const float*, int, const float*, float*,
               int) = nullptr;
  int (*blas_version)(void*, int*) = nullptr;
};

CublasCalls::CublasCalls(std::span<const std::pair<Operand, Operand>> pairs, CudaMath math, const std::string& runtime,
                         const std::string& blas)
    : api_(std::make_unique<const CudaApi>(runtime, blas)),
      stream_(nullptr, api_->destroy_stream),
      begin_(nullptr, api_->destroy_event),
      end_(nullptr, api_->destroy_event),
      handle_(nullptr, api_->destroy_handle) {
  if (pairs.empty()) {
    throw std::invalid_argument("pairs: expected at least one pair of operands, got none");
  }
  const auto& [first_a, first_b] = pairs.front();
  for (const auto& [a, b] : pairs) {
    check_fit(a, b, first_a, first_b);
  }
  m_ = static_cast<std::int32_t>(first_a.rows);
  n_ = static_cast<std::int32_t>(first_b.columns);
  k_ = static_cast<std::int32_t>(first_a.columns);

  api_->check(api_->set_device(first_device), "cudaSetDevice");
  const auto size = [](const Operand& operand) {
    return static_cast<std::size_t>(operand.rows) * static_cast<std::size_t>(operand.columns);
  };
  // Asked before it is taken: a device that runs out in the middle takes other programs with it.
  const std::size_t needed = (pairs.size() * (size(first_a) + size(first_b)) + product_size()) * sizeof(float);
  std::size_t free = 0;
  std::size_t total = 0;
  api_->check(api_->memory_info(&free, &total), "cudaMemGetInfo");
  if (needed > free) {
    throw std::runtime_error("the GPU has " + in_mebibytes(free) + " of its " + in_mebibytes(total) + " free, and " +
                             std::to_string(pairs.size()) + " operand pairs and a result need " + in_mebibytes(needed) +
                             ": ask for smaller shapes or fewer pairs");
  }
  const auto made = [](Owned& owner, int error, void* object) {
    if (error == success) {
      owner.reset(object);
    }
    return error;
  };
  void* object = nullptr;
  int error = api_->make_stream(&object, non_blocking_stream);
  api_->check(made(stream_, error, object), "cudaStreamCreateWithFlags");
  for (Owned* event : {&begin_, &end_}) {
    error = api_->make_event(&object);
    api_->check(made(*event, error, object), "cudaEventCreate");
  }
  // By the stream that computes: cudaMemcpy returns from pageable memory once that is staged, and this stream, which
  // does not wait for the default one, could compute with what has not arrived yet.
  const auto copied = [&](const Operand& operand) {
    float* memory = allocate(size(operand));
    if (!operand.empty()) {
      const std::size_t bytes = size(operand) * sizeof(float);
      api_->check(api_->copy(memory, operand.data, bytes, host_to_device, stream_.get()), "cudaMemcpyAsync");
    }
    return memory;
  };
  for (const auto& [a, b] : pairs) {
    const float* on_device = copied(a);
    pairs_.emplace_back(on_device, copied(b));
  }
  out_ = allocate(product_size());
  wait();  // the operands are the caller's

  error = api_->make_handle(&object);
  api_->check_blas(made(handle_, error, object), "cublasCreate");
  api_->check_blas(api_->set_stream(handle_.get(), stream_.get()), "cublasSetStream");
  // The default is IEEE float32 unless somebody asks for less. The pedantic mode would forbid the split along K too,
  // which costs no precision, and which torch and MLX allow.
  api_->check_blas(api_->set_math(handle_.get(), static_cast<int>(math)), "cublasSetMathMode");
}

CublasCalls::~CublasCalls() {
  if (stream_ != nullptr) {
    api_->wait(stream_.get());
  }
}

double CublasCalls::latency(std::size_t loops, std::size_t first) const {
  wait();
  return time_rotation(pairs_.size(), loops, first, [this](std::size_t i) {
    enqueue(i);
    wait();
  });
}

double CublasCalls::throughput(std::size_t loops, std::size_t first) const {
  wait();
  const auto start = std::chrono::steady_clock::now();
  time_rotation(pairs_.size(), loops, first, [this](std::size_t i) { enqueue(i); });
  wait();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

double CublasCalls::event_seconds(std::size_t loops, std::size_t first) const {
  check_loops(loops);
  wait();
  double seconds = 0.0;
  for (std::size_t done = 0; done < loops; done += most_queued) {
    Gate gate;
    api_->check(api_->call_host(stream_.get(), &Gate::hold, &gate), "cudaLaunchHostFunc");
    try {
      api_->check(api_->record(begin_.get(), stream_.get()), "cudaEventRecord");
      time_rotation(pairs_.size(), std::min(most_queued, loops - done), first + done,
                    [this](std::size_t i) { enqueue(i); });
      api_->check(api_->record(end_.get(), stream_.get()), "cudaEventRecord");
    } catch (...) {
      // The stream reads the gate: it must be past it before the gate is gone.
      gate.open.store(true, std::memory_order_release);
      api_->wait(stream_.get());
      throw;
    }
    gate.open.store(true, std::memory_order_release);
    wait();
    float milliseconds = 0.0F;
    api_->check(api_->milliseconds(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    seconds += static_cast<double>(milliseconds) * 1e-3;
  }
  return seconds;
}

void CublasCalls::product(std::size_t pair, std::span<float> out) const {
  if (pair >= pairs_.size()) {
    throw std::out_of_range("pair: there is no pair " + std::to_string(pair));
  }
  if (out.size() != product_size()) {
    throw std::invalid_argument("out: expected " + std::to_string(product_size()) + " elements");
  }
  if (out.empty()) {
    return;
  }
  if (k_ == 0) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }
  enqueue(pair);
  api_->check(api_->copy(out.data(), out_, out.size_bytes(), device_to_host, stream_.get()), "cudaMemcpyAsync");
  wait();
}

const std::string& CublasCalls::runtime_image() const { return api_->cuda.image(); }

const std::string& CublasCalls::blas_image() const { return api_->blas->image(); }

int CublasCalls::runtime_version() const {
  int version = 0;
  api_->check(api_->runtime_version(&version), "cudaRuntimeGetVersion");
  return version;
}

int CublasCalls::blas_version() const {
  int version = 0;
  api_->check_blas(api_->blas_version(handle_.get(), &version), "cublasGetVersion");
  return version;
}

void CublasCalls::enqueue(std::size_t i) const {
  static constexpr float one = 1.0F;
  static constexpr float zero = 0.0F;
  if (m_ == 0 || n_ == 0 || k_ == 0) {
    return;  // there is nothing to ask cuBLAS for
  }
  // cuBLAS is column-major: read so, row-major operands are their transposes, and C^T = B^T A^T.
  const auto& [a, b] = pairs_[i];
  api_->check_blas(
      api_->sgemm(handle_.get(), not_transposed, not_transposed, n_, m_, k_, &one, b, n_, a, k_, &zero, out_, n_),
      "cublasSgemm");
}

void CublasCalls::wait() const { api_->check(api_->wait(stream_.get()), "cudaStreamSynchronize"); }

float* CublasCalls::allocate(std::size_t elements) {
  void* memory = nullptr;
  const std::size_t bytes = std::max<std::size_t>(elements, 1) * sizeof(float);
  const int error = api_->allocate(&memory, bytes);
  if (error != success) {
    throw std::runtime_error("the GPU could not give " + in_mebibytes(bytes) + ": cudaMalloc failed with " +
                             api_->error_name(error) + ": " + api_->error_string(error));
  }
  memory_.emplace_back(memory, api_->release);
  return static_cast<float*>(memory);
}

int cuda_devices(const std::string& runtime, const std::string& blas) {
  const CudaApi api(runtime, blas);
  int count = 0;
  api.check(api.device_count(&count), "cudaGetDeviceCount");
  return count;
}

}  // namespace gemmscope
