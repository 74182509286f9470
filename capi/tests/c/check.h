/* What the test programs share. */
#ifndef CHECK_H
#define CHECK_H

#include <elman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

/* That a call answers `expected`, and where that is a refusal, that its sentence holds `words`. */
#define CHECK(expected, words, call)                                                                  \
  do {                                                                                                \
    ElmanStatus got_ = (call);                                                                        \
    if (got_ != (expected) || (got_ != ELMAN_STATUS_OK && !strstr(elman_last_error(), (words)))) {    \
      fprintf(stderr, "line %d: %s: %s: %s\n", __LINE__, #call, elman_status_name((int)got_),         \
              elman_last_error());                                                                    \
      failures++;                                                                                     \
    }                                                                                                 \
  } while (0)

#define OK(call) CHECK(ELMAN_STATUS_OK, "", call)

#define TRUE(condition)                                                  \
  do {                                                                   \
    if (!(condition)) {                                                  \
      fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);    \
      failures++;                                                        \
    }                                                                    \
  } while (0)

/* All numbers of a file; `*len` receives how many. The caller frees them. */
static inline float *read_numbers(const char *path, size_t *len) {
  FILE *file = fopen(path, "rb");
  float *numbers = NULL;
  long bytes;
  if (!file || fseek(file, 0, SEEK_END) != 0 || (bytes = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0) {
    fprintf(stderr, "%s: cannot be read\n", path);
    exit(2);
  }
  *len = (size_t)bytes / sizeof(float);
  numbers = (float *)malloc((size_t)bytes);
  if (!numbers || fread(numbers, sizeof(float), *len, file) != *len) {
    exit(2);
  }
  fclose(file);
  return numbers;
}

#endif
