// ISA-L (https://github.com/intel/isa-l), which inflates at about twice the speed of zlib, and deflates at several times its speed. It is
// loaded at run time, and the addon is built without its headers: the layouts below are those of libisal.so.2, and a library that does
// not have them fails the test that every one has to pass before it is used. test/native/isal.test.ts compares them with its header.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#include "deflate.h"
#include "deflate_isal.h"

namespace vdistream {

namespace {

struct Isal {
  void (*inflate_init)(IsalInflate*) = nullptr;
  void (*inflate_reset)(IsalInflate*) = nullptr;
  int (*inflate)(IsalInflate*) = nullptr;
  int (*inflate_stateless)(IsalInflate*) = nullptr;
  void (*deflate_init)(IsalDeflate*) = nullptr;
  int (*deflate)(IsalDeflate*) = nullptr;
};

Isal isal;  // written once, before `loaded` is set
std::atomic<bool> loaded{false};

// More than the structures need, so that one that is larger in another version does no harm before the test has refused it.
template <typename State>
class Roomy {
 public:
  Roomy() { std::memset(memory_, 0, sizeof memory_); }
  State* operator->() { return get(); }
  const State* operator->() const { return reinterpret_cast<const State*>(memory_); }
  State* get() { return reinterpret_cast<State*>(memory_); }

 private:
  alignas(64) uint8_t memory_[sizeof(State) + 65536];
};

uint8_t* input_of(const uint8_t* bytes) { return const_cast<uint8_t*>(bytes); }

class IsalStream : public InflateStream {
 public:
  IsalStream() {
    isal.inflate_init(state_.get());
    state_->crc_flag = kIsalGzipNoHeader;
  }

  InflateStep run(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length) override {
    state_->next_in = input_of(input);
    state_->avail_in = static_cast<uint32_t>(input_length);
    state_->next_out = output;
    state_->avail_out = static_cast<uint32_t>(output_length);
    int status = isal.inflate(state_.get());
    if (status < 0) return {input_length - state_->avail_in, output_length - state_->avail_out, Inflated::kDamaged};
    const bool ended = state_->block_state == kIsalFinish;
    if (ended || state_->avail_out == 0) return_unused(input_length);
    return {input_length - state_->avail_in, output_length - state_->avail_out, ended ? Inflated::kEnded : Inflated::kMore};
  }

  void reset() override {
    isal.inflate_reset(state_.get());
    state_->crc_flag = kIsalGzipNoHeader;
    state_->crc = 0;
  }

  uint32_t crc() const override { return state_->crc; }

 private:
  // ISA-L reads up to eight bytes ahead. Unless it waits for input, what it holds beyond the current byte comes from this call: what was
  // left from the last one was too little for a symbol, and the next symbol has used it. So it can be returned to the caller, who may
  // have dropped the rest of the input by the time the end is reported.
  void return_unused(size_t input_length) {
    const size_t consumed = input_length - state_->avail_in;
    size_t unused = state_->read_in_length < 0 ? 0 : static_cast<size_t>(state_->read_in_length) / 8;
    if (unused > consumed) unused = consumed;
    if (unused == 0) return;
    state_->avail_in += static_cast<uint32_t>(unused);
    state_->read_in_length -= static_cast<int32_t>(8 * unused);
    state_->read_in &= (uint64_t{1} << state_->read_in_length) - 1;
  }

  Roomy<IsalInflate> state_;
};

std::unique_ptr<InflateStream> inflate_stream() { return std::unique_ptr<InflateStream>(new (std::nothrow) IsalStream); }

// The state of this thread, or nullptr. Kept for its next member: at this size, malloc returns the memory to the kernel each time, which
// zeroes it again. Not thread_local, whose destructors need glibc 2.18.
static Roomy<IsalInflate>* state_of_thread() {
  struct Key {
    pthread_key_t key = 0;
    bool exists = pthread_key_create(&key, [](void* state) { delete static_cast<Roomy<IsalInflate>*>(state); }) == 0;
  };
  static Key states;
  if (!states.exists) return nullptr;
  if (void* state = pthread_getspecific(states.key)) return static_cast<Roomy<IsalInflate>*>(state);
  auto state = std::unique_ptr<Roomy<IsalInflate>>(new (std::nothrow) Roomy<IsalInflate>);
  if (state == nullptr || pthread_setspecific(states.key, state.get()) != 0) return nullptr;
  return state.release();
}

bool inflate_whole(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length, uint32_t crc) {
  Roomy<IsalInflate>* state = state_of_thread();
  if (state == nullptr) return false;
  IsalInflate& all = *state->get();
  isal.inflate_init(&all);
  all.crc_flag = kIsalGzipNoHeader;
  all.next_in = input_of(input);
  all.avail_in = static_cast<uint32_t>(input_length);
  all.next_out = output;
  all.avail_out = static_cast<uint32_t>(output_length);
  return isal.inflate_stateless(&all) == 0 && all.block_state == kIsalFinish && all.avail_in == 0 && all.avail_out == 0 && all.crc == crc;
}

size_t deflate(const uint8_t* input, size_t input_length, uint8_t* output, size_t output_length, int level) {
  struct Memory {
    Roomy<IsalDeflate> stream;
    uint8_t level_buffer[kIsalLevelBuffer];
  };
  auto memory = std::unique_ptr<Memory>(new (std::nothrow) Memory);
  if (memory == nullptr) return 0;
  IsalDeflate& stream = *memory->stream.get();
  isal.deflate_init(&stream);
  stream.level = static_cast<uint32_t>(level < kIsalMaxLevel ? level : kIsalMaxLevel);
  stream.level_buffer = memory->level_buffer;
  stream.level_buffer_size = sizeof memory->level_buffer;
  stream.end_of_stream = 1;
  stream.next_in = input_of(input);
  stream.avail_in = static_cast<uint32_t>(input_length);
  stream.next_out = output;
  stream.avail_out = static_cast<uint32_t>(output_length);
  if (isal.deflate(&stream) != 0 || stream.state != kIsalDeflateEnd) return 0;
  return output_length - stream.avail_out;
}

const DeflateLibrary kLibrary{inflate_stream, inflate_whole, deflate};

// Text with matches near and far, then bytes that do not compress.
std::vector<uint8_t> sample() {
  std::vector<uint8_t> bytes(70'000);
  uint32_t random = 1;
  for (size_t at = 0; at < bytes.size(); at++) {
    random = random * 1664525 + 1013904223;
    const bool repeats = at >= 34'000 && at < 60'000 && random >> 28 != 0;
    bytes[at] = repeats ? bytes[at - (at % 3000 < 1500 ? 31'000 : 17)] : static_cast<uint8_t>(random >> (at < 60'000 ? 29 : 24));
  }
  return bytes;
}

// Inflates in small pieces, with room for less than a window, and with a byte after the end.
bool streams(const std::vector<uint8_t>& packed, const std::vector<uint8_t>& expected, uint32_t crc) {
  IsalStream stream;
  std::vector<uint8_t> found(expected.size());
  size_t taken = 0, made = 0;
  for (size_t round = 0; round < 2 * packed.size(); round++) {
    const size_t most = packed.size() - taken, room = found.size() - made;
    const size_t input = round % 5 == 0 ? 1 : 700, output = 5000;
    InflateStep step = stream.run(packed.data() + taken, input < most ? input : most, found.data() + made, output < room ? output : room);
    taken += step.consumed;
    made += step.produced;
    if (step.status == Inflated::kDamaged) return false;
    if (step.status == Inflated::kEnded) return taken + 1 == packed.size() && found == expected && stream.crc() == crc;
  }
  return false;
}

// What the layouts say is what the library does, both ways, judged by zlib.
bool works() {
  const DeflateLibrary* zlib = zlib_library();
  if (zlib == nullptr) return false;
  const std::vector<uint8_t> bytes = sample();
  const uint32_t crc = zlib_crc(bytes.data(), bytes.size());
  std::vector<uint8_t> found(bytes.size()), packed(bytes.size() + 4096);
  for (int level = 2; level <= kIsalMaxLevel; level++) {
    size_t length = deflate(bytes.data(), bytes.size(), packed.data(), packed.size(), level);
    if (length == 0 || !zlib->inflate_whole(packed.data(), length, found.data(), found.size(), crc) || found != bytes) return false;
    if (deflate(bytes.data(), bytes.size(), packed.data(), length / 2, level) != 0) return false;
  }
  packed.resize(zlib->deflate(bytes.data(), bytes.size(), packed.data(), packed.size(), 6));
  found.assign(bytes.size(), 0);
  if (packed.empty() || !inflate_whole(packed.data(), packed.size(), found.data(), found.size(), crc) || found != bytes) return false;
  if (inflate_whole(packed.data(), packed.size() - 1, found.data(), found.size(), crc)) return false;
  if (inflate_whole(packed.data(), packed.size(), found.data(), found.size() - 1, crc)) return false;
  packed.push_back(0xff);
  return streams(packed, bytes, crc);
}

template <typename Function>
bool look_up(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

const DeflateLibrary* isal_library() { return loaded.load(std::memory_order_acquire) ? &kLibrary : nullptr; }

const char* load_isal(const char* path) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (loaded) return nullptr;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return "it cannot be loaded";
  const bool complete = look_up(library, "isal_inflate_init", isal.inflate_init) && look_up(library, "isal_inflate_reset", isal.inflate_reset) &&
                        look_up(library, "isal_inflate", isal.inflate) && look_up(library, "isal_inflate_stateless", isal.inflate_stateless) &&
                        look_up(library, "isal_deflate_init", isal.deflate_init) && look_up(library, "isal_deflate", isal.deflate);
  if (complete && works()) {
    loaded.store(true, std::memory_order_release);
    return nullptr;
  }
  dlclose(library);
  return complete ? "it does not work as this version of vdistream expects" : "it lacks a function";
}

}  // namespace vdistream
