// CUDA's driver, as far as gemmscope asks it which GPUs there are. Loaded as libcuda.so.1.
//
// On the bus are an H100, an A100 and an H200, whose UUIDs end with 0, 1 and 2; the fastest first they are 2, 0, 1. What
// is visible is read from CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, once, as the CUDA C++ Programming Guide says.
// FAKE_MIG is the place on the bus of a card that is cut into two instances of MIG, whose UUIDs end with a and b.
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int no_device = 100;
constexpr int count_of_cards = 3;
const char* const names[] = {"H100", "A100", "H200"};

struct Shown {
  int card;
  int instance;  // 0 for a whole card, 10 and 11 for the instances
};
std::vector<Shown> shown;

std::string text(const char* variable, const char* otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : otherwise;
}

std::string name_of(const char* kind, int last) {
  const char* digits = "0123456789ab";
  return std::string(kind) + "00000000-0000-0000-0000-00000000000" + digits[last];
}

std::vector<int> ordered() {
  if (text("CUDA_DEVICE_ORDER", "FASTEST_FIRST") == "PCI_BUS_ID") {
    return {0, 1, 2};
  }
  return {2, 0, 1};
}

std::optional<Shown> found(const std::string& entry, int cut) {
  for (int i = 0; i < count_of_cards; ++i) {
    if (entry == std::to_string(i)) {
      const int card = ordered()[i];
      return Shown{card, card == cut ? 10 : 0};
    }
    // A UUID may be cut short.
    if (entry.size() > 4 && name_of("GPU-", i).compare(0, entry.size(), entry) == 0) {
      return Shown{i, i == cut ? 10 : 0};
    }
  }
  for (int instance : {10, 11}) {
    if (cut >= 0 && entry == name_of("MIG-", instance)) {
      return Shown{cut, instance};
    }
  }
  return std::nullopt;
}

}  // namespace

EXPORT int cuInit(unsigned /*flags*/) {
  const int cut = std::stoi(text("FAKE_MIG", "-1"));
  shown.clear();
  std::stringstream entries(text("CUDA_VISIBLE_DEVICES", "0,1,2"));
  for (std::string entry; std::getline(entries, entry, ',');) {
    const auto one = found(entry, cut);
    if (!one) {
      break;  // what comes behind an invalid entry is not seen
    }
    shown.push_back(*one);
    if (one->instance != 0) {
      shown = {*one};  // one instance at a time, and nothing beside it
      break;
    }
  }
  return shown.empty() ? no_device : 0;
}

EXPORT int cuDeviceGetCount(int* count) {
  *count = static_cast<int>(shown.size());
  return 0;
}

EXPORT int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}

EXPORT int cuDeviceGetName(char* name, int length, int device) {
  std::strncpy(name, names[shown.at(device).card], length);
  return 0;
}

EXPORT int cuDeviceGetUuid(unsigned char* uuid, int device) {
  std::memset(uuid, 0, 16);
  uuid[15] = static_cast<unsigned char>(shown.at(device).card);
  return 0;
}

EXPORT int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  cuDeviceGetUuid(uuid, device);
  if (shown.at(device).instance != 0) {
    uuid[15] = static_cast<unsigned char>(shown.at(device).instance);
  }
  return 0;
}
