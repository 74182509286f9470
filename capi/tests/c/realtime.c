/* No system call and no page fault between the first and the last step.
 *
 *     realtime MODEL
 *
 * Two calls of getppid stand around the steps: what strace shows between them was called by a step.
 */
#define _GNU_SOURCE
#include "check.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STEPS = 200000, BLOCK = 64, MOST = 256 };

static long faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/* All that a callback may do. Gives 1 where all of it went well. */
static int callback(ElmanStream *stream, float *left, float *state, size_t size, int n) {
  const float *in[1] = {left};
  float *out[1] = {left}, x = (float)n * 1e-6f, y;
  int well = elman_step(stream, &x, 1, &y, 1) == ELMAN_STATUS_OK;
  if (n % 100 == 0) {
    well &= elman_block(stream, in, 1, out, 1, BLOCK) == ELMAN_STATUS_OK;
    well &= elman_get_state(stream, state, size) == ELMAN_STATUS_OK;
    well &= elman_reset(stream) == ELMAN_STATUS_OK;
    well &= elman_set_state(stream, state, size) == ELMAN_STATUS_OK;
    /* Refusals too. */
    well &= elman_step(stream, &x, 2, &y, 1) == ELMAN_STATUS_LENGTH;
    well &= elman_block(stream, in, 1, out, 1, BLOCK + 1) == ELMAN_STATUS_LENGTH;
  }
  return well;
}

int main(int argc, char **argv) {
  static float left[BLOCK], state[MOST];
  ElmanModel *model = NULL;
  ElmanStream *stream = NULL, *retired;
  size_t size = 0;
  long before, after;
  int n, well = 1;
  if (argc != 2) {
    return 2;
  }
  OK(elman_model_open(argv[1], &model));
  OK(elman_model_state_size(model, &size));
  TRUE(size <= MOST);
  OK(elman_stream_new(model, &retired));
  OK(elman_stream_new(model, &stream));
  OK(elman_prepare(stream, BLOCK));
  well &= callback(stream, left, state, size, 0);
  before = faults();
  syscall(SYS_getppid);
  for (n = 1; n < STEPS; n++) {
    well &= callback(stream, left, state, size, n);
    if (n == STEPS / 2) {
      /* Lets go of another stream and of the model. */
      well &= elman_stream_free(&retired) == ELMAN_STATUS_OK && elman_model_unref(&model) == ELMAN_STATUS_OK;
    }
  }
  syscall(SYS_getppid);
  after = faults();
  TRUE(well);
  OK(elman_stream_free(&stream));
  TRUE(elman_collect() == 3);
  if (after != before) {
    fprintf(stderr, "%ld page faults\n", after - before);
    failures++;
  }
  return failures ? 1 : 0;
}
