/* The numbers that a stream gives in a floating-point mode of the host.
 *
 *     mode MODEL default|flush
 *
 * One loud step, then silence: the states decay through the denormals. Prints the bits of all outputs.
 */
#include "check.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

static unsigned long mode(void) { return _mm_getcsr() & ~0x3Fu; }
/* Denormal results and operands are zeros. */
static void flush(void) { _mm_setcsr(_mm_getcsr() | 0x8040u); }

#elif defined(__aarch64__)

static unsigned long mode(void) {
  unsigned long fpcr;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  return fpcr;
}
static void flush(void) { __asm__ volatile("msr fpcr, %0" : : "r"(mode() | 1ul << 24)); }

#else
#error "this CPU's mode is not known here"
#endif

enum { STEPS = 400, MOST = 64 };

int main(int argc, char **argv) {
  static float y[STEPS * MOST], planes[MOST][STEPS], x[STEPS] = {3.0f};
  const float *in[1] = {x};
  float *out[MOST], state[2 * MOST], *last = NULL;
  ElmanModel *model = NULL;
  ElmanStream *stream = NULL;
  ElmanBatch batch;
  size_t outputs = 0, size = 0, t, c;
  unsigned long before;
  if (argc != 3) {
    return 2;
  }
  if (strcmp(argv[2], "flush") == 0) {
    flush();
  }
  before = mode();
  OK(elman_model_open(argv[1], &model));
  OK(elman_model_outputs(model, &outputs));
  OK(elman_model_state_size(model, &size));
  TRUE(outputs <= MOST && size <= 2 * MOST);
  OK(elman_stream_new(model, &stream));
  for (t = 0; t < STEPS; t++) {
    OK(elman_step(stream, x + t, 1, y + t * outputs, outputs));
    TRUE(mode() == before);
  }
  for (t = 0; t < STEPS * outputs; t++) {
    unsigned bits;
    memcpy(&bits, &y[t], sizeof bits);
    printf("%08x\n", bits);
  }
  OK(elman_prepare(stream, STEPS));
  OK(elman_reset(stream));
  for (c = 0; c < outputs; c++) {
    out[c] = planes[c];
  }
  OK(elman_block(stream, in, 1, out, outputs, STEPS));
  OK(elman_get_state(stream, state, size));
  for (t = 0; t < STEPS; t++) {
    for (c = 0; c < outputs; c++) {
      TRUE(memcmp(&planes[c][t], &y[t * outputs + c], sizeof(float)) == 0);
    }
  }
  /* A whole run, of which this is not the first part of a state: it ends in the same one, but on the portable tier. */
  memset(&batch, 0, sizeof batch);
  last = calloc(size, sizeof(float));
  batch.size = sizeof batch;
  batch.steps = STEPS;
  batch.rows = 1;
  batch.x = x;
  batch.x_len = STEPS;
  batch.y = y;
  batch.y_len = STEPS * outputs;
  batch.last_state = last;
  batch.state_len = size;
  OK(elman_run(model, &batch));
  for (t = 0; t < STEPS * outputs; t++) {
    unsigned bits;
    memcpy(&bits, &y[t], sizeof bits);
    printf("%08x\n", bits);
  }
  CHECK(ELMAN_STATUS_LENGTH, "y", elman_step(stream, x, 1, y, outputs + 1));
  TRUE(mode() == before);
  free(last);
  OK(elman_stream_free(&stream));
  OK(elman_model_unref(&model));
  elman_collect();
  TRUE(mode() == before);
  return failures ? 1 : 0;
}
