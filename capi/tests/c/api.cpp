// The classes of elman.hpp. Arguments as of api.c.
#include <elman.hpp>

#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <vector>

#include "check.h"

static_assert(std::is_nothrow_copy_constructible<elman::Model>::value, "");
static_assert(std::is_nothrow_move_assignable<elman::Model>::value, "");
static_assert(std::is_nothrow_move_constructible<elman::Stream>::value, "");
static_assert(!std::is_copy_constructible<elman::Stream>::value, "");

int main(int argc, char** argv) {
  if (argc != 6 || !elman::abi_matches()) {
    return 2;
  }
  std::size_t x_len = 0, y_len = 0;
  float* x = read_numbers(argv[2], &x_len);
  float* y = read_numbers(argv[3], &y_len);
  {
    elman::Model model;
    TRUE(!model && model.inputs() == 0 && model.metadata("sample_rate") == nullptr);
    CHECK(ELMAN_STATUS_IO, "none", model.open("none.safetensors"));
    OK(model.open(argv[1]));
    CHECK(ELMAN_STATUS_IO, "none", model.open("none.safetensors"));
    TRUE(model && model.inputs() == 2 && model.outputs() == 3 && model.layers() == 2 && model.state_size() == 80);
    TRUE(model.sample_rate(1) == 48000 && model.output_level(-1) == -1 && model.loudness(-2) == -2);
    TRUE(std::strcmp(model.metadata("sample_rate"), "48000") == 0);

    elman::Model copy = model;
    elman::Stream stream;
    CHECK(ELMAN_STATUS_NULL, "stream", stream.reset());
    CHECK(ELMAN_STATUS_NULL, "model", stream.start(elman::Model(), 8));
    OK(stream.start(copy, 8));
    model = elman::Model();
    copy = std::move(model);
    TRUE(!copy);

    elman::Stream moved = std::move(stream);
    TRUE(!stream && moved);
    std::vector<float> got(y_len);
    for (std::size_t t = 0; t < x_len / 2; t++) {
      OK(moved.step(x + 2 * t, 2, &got[3 * t], 3));
    }
    TRUE(std::memcmp(got.data(), y, y_len * sizeof(float)) == 0);
    std::vector<float> state(80);
    OK(moved.get_state(state.data(), state.size()));
    OK(moved.reset());
    OK(moved.set_state(state.data(), state.size()));
    CHECK(ELMAN_STATUS_SETTING, "embedding", moved.step(0u, got.data(), 3));

    elman::Model embedding;
    OK(embedding.open(argv[4]));
    elman::Stream second;
    OK(second.start(embedding, 1));
    OK(second.step(2u, got.data(), 1));
    moved = std::move(second);
    TRUE(elman::collect() > 0);
  }
  TRUE(elman::collect() > 0);
  std::free(x);
  std::free(y);
  return failures ? 1 : 0;
}
