// Elman from C++: handles that free themselves. Nothing throws: calls answer an ElmanStatus, and elman_last_error() has the
// sentence. Which call may be made on which thread stands in elman.h. C++14.
#pragma once

#include "elman.h"

#include <cstddef>
#include <utility>

namespace elman {

/// Whether a call was carried out.
inline bool ok(ElmanStatus status) noexcept { return status == ELMAN_STATUS_OK; }

/// Whether the library is of the version of the header.
inline bool abi_matches() noexcept { return elman_abi_matches() != 0; }

/// Frees the memory of all models and streams that have ended; outside of the callback.
inline std::size_t collect() noexcept { return elman_collect(); }

/// A reference to a model; a copy is one more. Its end frees no memory, see collect().
class Model {
 public:
  Model() noexcept = default;

  Model(const Model& other) noexcept : handle_(other.handle_) {
    if (handle_ != nullptr && !ok(elman_model_ref(handle_))) {
      handle_ = nullptr;
    }
  }

  Model(Model&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

  Model& operator=(Model other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  ~Model() {
    if (handle_ != nullptr) {
      elman_model_unref(&handle_);
    }
  }

  /// Reads a file in the place of what was there before, which stays where that fails.
  ElmanStatus open(const char* path) noexcept {
    Model model;
    const ElmanStatus status = elman_model_open(path, &model.handle_);
    return take(status, model);
  }

  /// The same from a file in memory.
  ElmanStatus from_bytes(const void* bytes, std::size_t len) noexcept {
    Model model;
    const ElmanStatus status = elman_model_from_bytes(bytes, len, &model.handle_);
    return take(status, model);
  }

  ElmanModel* get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Sizes; 0 where there is no model.
  std::size_t inputs() const noexcept { return size(elman_model_inputs); }
  std::size_t outputs() const noexcept { return size(elman_model_outputs); }
  std::size_t layers() const noexcept { return size(elman_model_layers); }
  std::size_t state_size() const noexcept { return size(elman_model_state_size); }
  std::size_t vocabulary() const noexcept { return size(elman_model_vocabulary); }

  /// What the file says in its metadata; `otherwise` where it does not.
  double sample_rate(double otherwise) const noexcept { return number(elman_model_sample_rate, otherwise); }
  double input_level(double otherwise) const noexcept { return number(elman_model_input_level, otherwise); }
  double output_level(double otherwise) const noexcept { return number(elman_model_output_level, otherwise); }
  double loudness(double otherwise) const noexcept { return number(elman_model_loudness, otherwise); }

  /// What the metadata says under a key, as long as the model lives; nullptr where it says nothing.
  const char* metadata(const char* key) const noexcept {
    const char* value = nullptr;
    elman_model_metadata(handle_, key, &value);
    return value;
  }

  /// Runs whole sequences.
  ElmanStatus run(const ElmanBatch& batch) const noexcept { return elman_run(handle_, &batch); }

 private:
  ElmanStatus take(ElmanStatus status, Model& model) noexcept {
    if (ok(status)) {
      std::swap(handle_, model.handle_);
    }
    return status;
  }

  std::size_t size(ElmanStatus (*getter)(const ElmanModel*, std::size_t*)) const noexcept {
    std::size_t size = 0;
    getter(handle_, &size);
    return size;
  }

  double number(ElmanStatus (*getter)(const ElmanModel*, double*), double otherwise) const noexcept {
    double number = otherwise;
    return ok(getter(handle_, &number)) ? number : otherwise;
  }

  ElmanModel* handle_ = nullptr;
};

/// A stream. Its end frees no memory, see collect().
class Stream {
 public:
  Stream() noexcept = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

  Stream& operator=(Stream&& other) noexcept {
    Stream taken(std::move(other));
    std::swap(handle_, taken.handle_);
    return *this;
  }

  ~Stream() {
    if (handle_ != nullptr) {
      elman_stream_free(&handle_);
    }
  }

  /// A stream over the model with room for blocks of `max_frames`, in the place of what was there before, which stays
  /// where that fails.
  ElmanStatus start(const Model& model, std::size_t max_frames) noexcept {
    Stream stream;
    ElmanStatus status = elman_stream_new(model.get(), &stream.handle_);
    if (ok(status)) {
      status = elman_prepare(stream.handle_, max_frames);
    }
    if (ok(status)) {
      std::swap(handle_, stream.handle_);
    }
    return status;
  }

  ElmanStream* get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

  ElmanStatus step(const float* x, std::size_t x_len, float* y, std::size_t y_len) noexcept {
    return elman_step(handle_, x, x_len, y, y_len);
  }

  ElmanStatus step(unsigned index, float* y, std::size_t y_len) noexcept {
    return elman_step_index(handle_, index, y, y_len);
  }

  /// Planar; in place where `x` and `y` point to the same memory.
  ElmanStatus block(const float* const* x, std::size_t x_channels, float* const* y, std::size_t y_channels,
                    std::size_t frames) noexcept {
    return elman_block(handle_, x, x_channels, y, y_channels, frames);
  }

  ElmanStatus reset() noexcept { return elman_reset(handle_); }
  ElmanStatus get_state(float* state, std::size_t len) noexcept { return elman_get_state(handle_, state, len); }
  ElmanStatus set_state(const float* state, std::size_t len) noexcept { return elman_set_state(handle_, state, len); }

 private:
  ElmanStream* handle_ = nullptr;
};

}  // namespace elman
