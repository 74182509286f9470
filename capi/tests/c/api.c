/* Every call, as it is meant and as it is not.
 *
 *     api MODEL X Y EMBEDDING REVERSE
 *
 * MODEL has 2 inputs, 3 outputs and metadata, X and Y are an input and the bits that the model gives for it; EMBEDDING begins
 * with an embedding of 7 indices, REVERSE has a reverse direction.
 */
#include "check.h"

enum { INPUTS = 2, OUTPUTS = 3, BLOCK = 64 };

static void getters(const ElmanModel *model) {
  size_t size = 0;
  double number = 0;
  const char *key = NULL, *value = NULL;
  OK(elman_model_inputs(model, &size));
  TRUE(size == INPUTS);
  OK(elman_model_outputs(model, &size));
  TRUE(size == OUTPUTS);
  OK(elman_model_layers(model, &size));
  TRUE(size == 2);
  OK(elman_model_state_size(model, &size));
  TRUE(size == 2 * (20 + 20));
  OK(elman_model_vocabulary(model, &size));
  TRUE(size == 0);
  OK(elman_model_isa(model, &value));
  TRUE(strcmp(value, "avx512") == 0 || strcmp(value, "avx2") == 0 || strcmp(value, "portable") == 0);
  OK(elman_model_sample_rate(model, &number));
  TRUE(number == 48000.0);
  OK(elman_model_input_level(model, &number));
  TRUE(number == 18.25);
  CHECK(ELMAN_STATUS_ABSENT, "output_level_dbu", elman_model_output_level(model, &number));
  CHECK(ELMAN_STATUS_VALUE, "metadata 'loudness': expected a number of dB, got 'high'",
        elman_model_loudness(model, &number));
  OK(elman_model_metadata(model, "made by", &value));
  TRUE(strcmp(value, "\xC3\xA4") == 0);
  OK(elman_model_metadata(model, "elman.spec", &value));
  TRUE(strstr(value, "lstm") != NULL);
  CHECK(ELMAN_STATUS_ABSENT, "metadata 'no'", elman_model_metadata(model, "no", &value));
  TRUE(value == NULL);
  OK(elman_model_metadata_at(model, 0, &key, &value));
  TRUE(strcmp(key, "input_level_dbu") == 0 && strcmp(value, "18.25") == 0);
  CHECK(ELMAN_STATUS_ABSENT, "index: expected less than 5 keys, got 5", elman_model_metadata_at(model, 5, &key, &value));
  TRUE(key == NULL && value == NULL);
  CHECK(ELMAN_STATUS_NULL, "inputs: expected a pointer, got NULL", elman_model_inputs(model, NULL));
  CHECK(ELMAN_STATUS_NULL, "model: expected a pointer, got NULL", elman_model_inputs(NULL, &size));
  CHECK(ELMAN_STATUS_NULL, "key", elman_model_metadata(model, NULL, &value));
  CHECK(ELMAN_STATUS_NULL, "value", elman_model_metadata(model, "made by", NULL));
}

/* Steps, blocks (in place and not) and a whole run give the bits of `y`. */
static void bits(const ElmanModel *model, const float *x, const float *y, size_t steps) {
  ElmanStream *stream = NULL;
  float *planes = calloc(steps * (INPUTS + OUTPUTS), sizeof(float));
  float *got = calloc(steps * OUTPUTS, sizeof(float)), *state = NULL, *again = NULL;
  size_t size = 0, t, c, n;
  OK(elman_stream_new(model, &stream));
  OK(elman_model_state_size(model, &size));
  state = calloc(size, sizeof(float));
  again = calloc(size, sizeof(float));

  for (t = 0; t < steps; t++) {
    OK(elman_step(stream, x + t * INPUTS, INPUTS, got + t * OUTPUTS, OUTPUTS));
  }
  TRUE(memcmp(got, y, steps * OUTPUTS * sizeof(float)) == 0);
  OK(elman_get_state(stream, state, size));

  /* A step in place: the output begins where the input did. */
  OK(elman_reset(stream));
  for (t = 0; t < steps; t++) {
    float both[OUTPUTS];
    memcpy(both, x + t * INPUTS, INPUTS * sizeof(float));
    OK(elman_step(stream, both, INPUTS, both, OUTPUTS));
    TRUE(memcmp(both, y + t * OUTPUTS, sizeof both) == 0);
  }

  /* Blocks of uneven lengths; the first two outputs take the place of the inputs. */
  OK(elman_prepare(stream, BLOCK));
  OK(elman_reset(stream));
  for (t = 0; t < steps; t++) {
    for (c = 0; c < INPUTS; c++) {
      planes[c * steps + t] = x[t * INPUTS + c];
    }
  }
  for (t = 0, n = 1; t < steps; t += n, n = n % BLOCK + 13) {
    const float *in[INPUTS];
    float *out[OUTPUTS];
    n = n > BLOCK ? BLOCK : n;
    n = n > steps - t ? steps - t : n;
    for (c = 0; c < OUTPUTS; c++) {
      out[c] = planes + c * steps + t;
    }
    in[0] = out[0];
    in[1] = out[1];
    OK(elman_block(stream, in, INPUTS, out, OUTPUTS, n));
  }
  for (t = 0; t < steps; t++) {
    for (c = 0; c < OUTPUTS; c++) {
      TRUE(memcmp(&planes[c * steps + t], &y[t * OUTPUTS + c], sizeof(float)) == 0);
    }
  }
  OK(elman_get_state(stream, again, size));
  TRUE(memcmp(state, again, size * sizeof(float)) == 0);

  /* From the middle on, in another stream. */
  OK(elman_reset(stream));
  for (t = 0; t < steps / 2; t++) {
    OK(elman_step(stream, x + t * INPUTS, INPUTS, got, OUTPUTS));
  }
  OK(elman_get_state(stream, again, size));
  OK(elman_stream_free(&stream));
  TRUE(stream == NULL);
  OK(elman_stream_new(model, &stream));
  OK(elman_set_state(stream, again, size));
  for (; t < steps; t++) {
    OK(elman_step(stream, x + t * INPUTS, INPUTS, got, OUTPUTS));
    TRUE(memcmp(got, y + t * OUTPUTS, OUTPUTS * sizeof(float)) == 0);
  }
  OK(elman_stream_free(&stream));

  {
    ElmanBatch batch;
    memset(&batch, 0, sizeof batch);
    batch.size = sizeof batch;
    batch.steps = steps;
    batch.rows = 1;
    batch.x = x;
    batch.x_len = steps * INPUTS;
    batch.y = got;
    batch.y_len = steps * OUTPUTS;
    batch.last_state = again;
    batch.state_len = size;
    batch.threads = 2;
    OK(elman_run(model, &batch));
    /* The portable tier runs whole sequences by another library's products, which only come near. */
    const char *isa = "";
    OK(elman_model_isa(model, &isa));
    for (t = 0; t < steps * OUTPUTS; t++) {
      float apart = got[t] - y[t];
      TRUE(strcmp(isa, "portable") == 0 ? apart * apart < 1e-10f : memcmp(&got[t], &y[t], sizeof(float)) == 0);
    }
    TRUE(strcmp(isa, "portable") == 0 || memcmp(state, again, size * sizeof(float)) == 0);
    /* Zeros are the state that it began in. */
    memset(state, 0, size * sizeof(float));
    batch.first_state = state;
    memset(got, 0xFF, steps * OUTPUTS * sizeof(float));
    OK(elman_run(model, &batch));
    for (t = 0; t < steps * OUTPUTS; t++) {
      float apart = got[t] - y[t];
      TRUE(apart * apart < 1e-10f);
    }

    batch.y_len -= 1;
    CHECK(ELMAN_STATUS_LENGTH, "y: expected 100 steps of 1 rows of 3 numbers, got 299", elman_run(model, &batch));
    batch.y_len += 1;
    batch.state_len -= 1;
    CHECK(ELMAN_STATUS_SHAPE, "last_state: expected 80 numbers (h 40, c 40), got 79", elman_run(model, &batch));
    batch.state_len += 1;
    batch.x = NULL;
    CHECK(ELMAN_STATUS_NULL, "x", elman_run(model, &batch));
    batch.x = x;
    batch.rows = (size_t)-1;
    CHECK(ELMAN_STATUS_LENGTH, "x: expected 100 steps", elman_run(model, &batch));
    batch.rows = 1;
    batch.size = 8;
    CHECK(ELMAN_STATUS_SETTING, "size", elman_run(model, &batch));
    CHECK(ELMAN_STATUS_NULL, "batch", elman_run(model, NULL));
  }
  free(planes);
  free(got);
  free(state);
  free(again);
}

static void refusals(const ElmanModel *model) {
  ElmanStream *stream = NULL, *copy = NULL;
  float x[INPUTS] = {0.5f, -0.5f}, before[OUTPUTS], y[OUTPUTS] = {7, 7, 7}, state[80];
  const float *in[INPUTS];
  float *out[OUTPUTS] = {y, y, y};
  in[0] = x;
  in[1] = NULL;
  OK(elman_stream_new(model, &stream));
  OK(elman_step(stream, x, INPUTS, before, OUTPUTS));
  OK(elman_reset(stream));

  CHECK(ELMAN_STATUS_NULL, "stream", elman_step(NULL, x, INPUTS, y, OUTPUTS));
  CHECK(ELMAN_STATUS_NULL, "x: expected a pointer, got NULL", elman_step(stream, NULL, INPUTS, y, OUTPUTS));
  CHECK(ELMAN_STATUS_NULL, "y: expected a pointer, got NULL", elman_step(stream, x, INPUTS, NULL, OUTPUTS));
  CHECK(ELMAN_STATUS_LENGTH, "x: expected 2, as the model has, got 1", elman_step(stream, x, 1, y, OUTPUTS));
  CHECK(ELMAN_STATUS_LENGTH, "y: expected 3, as the model has, got 4", elman_step(stream, x, INPUTS, y, 4));
  CHECK(ELMAN_STATUS_SETTING, "embedding", elman_step_index(stream, 0, y, OUTPUTS));
  CHECK(ELMAN_STATUS_LENGTH, "max_frames: expected at least 1, got 0", elman_prepare(stream, 0));
  CHECK(ELMAN_STATUS_OVERFLOW, "max_frames", elman_prepare(stream, (size_t)-1));
  CHECK(ELMAN_STATUS_MEMORY, "max_frames", elman_prepare(stream, (size_t)1 << 50));
  CHECK(ELMAN_STATUS_LENGTH, "frames: expected 1 to 1, as elman_prepare was given, got 0",
        elman_block(stream, in, INPUTS, out, OUTPUTS, 0));
  CHECK(ELMAN_STATUS_LENGTH, "got 2", elman_block(stream, in, INPUTS, out, OUTPUTS, 2));
  CHECK(ELMAN_STATUS_LENGTH, "x: expected 2", elman_block(stream, in, 3, out, OUTPUTS, 1));
  CHECK(ELMAN_STATUS_LENGTH, "y: expected 3", elman_block(stream, in, INPUTS, out, 2, 1));
  CHECK(ELMAN_STATUS_NULL, "x[..]", elman_block(stream, in, INPUTS, out, OUTPUTS, 1));
  CHECK(ELMAN_STATUS_NULL, "y", elman_block(stream, in, INPUTS, NULL, OUTPUTS, 1));
  in[1] = x + 1;
  out[1] = NULL;
  CHECK(ELMAN_STATUS_NULL, "y[..]", elman_block(stream, in, INPUTS, out, OUTPUTS, 1));
  CHECK(ELMAN_STATUS_SHAPE, "state: expected 80 numbers (h 40, c 40), got 32", elman_set_state(stream, state, 32));
  CHECK(ELMAN_STATUS_SHAPE, "got 81", elman_get_state(stream, state, 81));
  CHECK(ELMAN_STATUS_NULL, "state", elman_get_state(stream, NULL, 80));
  TRUE(y[0] == 7 && y[1] == 7 && y[2] == 7);
  /* None of it has touched the state. */
  OK(elman_step(stream, x, INPUTS, y, OUTPUTS));
  TRUE(memcmp(before, y, sizeof y) == 0);

  copy = stream;
  OK(elman_stream_free(&stream));
  TRUE(stream == NULL);
  CHECK(ELMAN_STATUS_NOT_A_HANDLE, "stream: expected a live handle, got one that was freed",
        elman_step(copy, x, INPUTS, y, OUTPUTS));
  CHECK(ELMAN_STATUS_NOT_A_HANDLE, "freed", elman_stream_free(&copy));
  CHECK(ELMAN_STATUS_NULL, "stream", elman_stream_free(&stream));
  CHECK(ELMAN_STATUS_NULL, "stream", elman_stream_free(NULL));
  CHECK(ELMAN_STATUS_NOT_A_HANDLE, "stream: expected a live handle, got another pointer",
        elman_reset((ElmanStream *)(void *)model));
  TRUE(elman_collect() == 1);
}

static void files(const char *path) {
  ElmanModel *model = (ElmanModel *)&failures;
  char bytes[64] = "not a model";
  CHECK(ELMAN_STATUS_IO, "none.safetensors", elman_model_open("none.safetensors", &model));
  TRUE(model == NULL);
  CHECK(ELMAN_STATUS_NULL, "path", elman_model_open(NULL, &model));
  CHECK(ELMAN_STATUS_NULL, "model", elman_model_open(path, NULL));
  CHECK(ELMAN_STATUS_FORMAT, "not a safetensors file", elman_model_from_bytes(bytes, sizeof bytes, &model));
  CHECK(ELMAN_STATUS_FORMAT, "", elman_model_from_bytes(bytes, 0, &model));
  CHECK(ELMAN_STATUS_NULL, "bytes", elman_model_from_bytes(NULL, 8, &model));

  size_t len = 0, floats = 0;
  float *contents = read_numbers(path, &floats);
  len = floats * sizeof(float);
  CHECK(ELMAN_STATUS_FORMAT, "truncated", elman_model_from_bytes(contents, len - 8, &model));
  free(contents);
}

static void embedding(const char *path) {
  ElmanModel *model = NULL;
  ElmanStream *stream = NULL;
  float by_index = 0, by_number = 0, x = 3;
  size_t size = 0;
  OK(elman_model_open(path, &model));
  OK(elman_model_vocabulary(model, &size));
  TRUE(size == 7);
  OK(elman_stream_new(model, &stream));
  OK(elman_step_index(stream, 3, &by_index, 1));
  OK(elman_reset(stream));
  OK(elman_step(stream, &x, 1, &by_number, 1));
  TRUE(memcmp(&by_index, &by_number, sizeof x) == 0);
  CHECK(ELMAN_STATUS_VALUE, "index: expected 0 to 6, got 7", elman_step_index(stream, 7, &by_index, 1));
  CHECK(ELMAN_STATUS_LENGTH, "y", elman_step_index(stream, 0, &by_index, 2));
  x = 2.5f;
  CHECK(ELMAN_STATUS_VALUE, "x: expected whole numbers from 0 to 6, got 2.5", elman_step(stream, &x, 1, &x, 1));
  OK(elman_stream_free(&stream));
  OK(elman_model_unref(&model));
}

int main(int argc, char **argv) {
  ElmanModel *model = NULL, *second = NULL, *reverse = NULL;
  ElmanStream *stream = NULL;
  size_t x_len = 0, y_len = 0;
  float *x, *y;
  if (argc != 6) {
    return 2;
  }
  TRUE(elman_abi_matches());
  TRUE(strlen(elman_version()) >= 5);
  TRUE(strcmp(elman_last_error(), "") == 0);
  x = read_numbers(argv[2], &x_len);
  y = read_numbers(argv[3], &y_len);

  OK(elman_model_open(argv[1], &model));
  getters(model);
  bits(model, x, y, x_len / INPUTS);
  TRUE(elman_collect() > 0);
  TRUE(elman_collect() == 0);
  refusals(model);
  files(argv[1]);
  embedding(argv[4]);
  OK(elman_model_open(argv[5], &reverse));
  CHECK(ELMAN_STATUS_UNSUPPORTED, "reverse", elman_stream_new(reverse, &stream));
  TRUE(stream == NULL);
  OK(elman_model_unref(&reverse));

  /* A stream outlives the handle of its model, and a model its first reference. */
  OK(elman_model_ref(model));
  second = model;
  OK(elman_model_unref(&model));
  TRUE(model == NULL);
  OK(elman_stream_new(second, &stream));
  model = second;
  OK(elman_model_unref(&second));
  CHECK(ELMAN_STATUS_NOT_A_HANDLE, "model: expected a live handle, got one that was freed", elman_model_ref(model));
  TRUE(elman_collect() > 0);
  OK(elman_step(stream, x, INPUTS, y, OUTPUTS));
  OK(elman_stream_free(&stream));
  TRUE(elman_collect() == 1);
  free(x);
  free(y);
  return failures ? 1 : 0;
}
