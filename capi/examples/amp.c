/* A WAV file through an amplifier, one sample at a time, as a plug-in's callback gets them.
 *
 *     amp MODEL DRY.wav WET.wav
 *
 * DRY.wav is mono, of 16 bits; where there is none, one is made first: five seconds of plucked strings. README has the
 * commands that build and run this.
 */
#define _POSIX_C_SOURCE 199309L
#include <elman.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEADER = 44, RATE = 48000 };

typedef struct {
  float *samples;
  size_t len;
  unsigned rate;
} Sound;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "amp: %s: %s\n", what, why);
  exit(1);
}

static unsigned number(const unsigned char *bytes, int len) {
  unsigned value = 0;
  while (len-- > 0) {
    value = value << 8 | bytes[len];
  }
  return value;
}

static void put(unsigned char *bytes, int len, unsigned value) {
  int i;
  for (i = 0; i < len; i++) {
    bytes[i] = (unsigned char)(value >> 8 * i);
  }
}

/* Reads the chunks of a RIFF file up to its samples. */
static Sound read_wav(const char *path) {
  unsigned char bytes[HEADER];
  Sound sound = {NULL, 0, 0};
  FILE *file = fopen(path, "rb");
  size_t i;
  if (!file || fread(bytes, 1, 12, file) != 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0) {
    fail(path, "expected a WAV file");
  }
  while (fread(bytes, 1, 8, file) == 8) {
    unsigned len = number(bytes + 4, 4);
    if (memcmp(bytes, "data", 4) == 0) {
      if (sound.rate == 0) {
        break;
      }
      sound.len = len / 2;
      sound.samples = malloc(sound.len * sizeof(float) + 1);
      for (i = 0; sound.samples && i < sound.len && fread(bytes, 1, 2, file) == 2; i++) {
        int value = (int)number(bytes, 2);
        sound.samples[i] = (float)(value < 32768 ? value : value - 65536) / 32768.0f;
      }
      if (!sound.samples || i < sound.len) {
        fail(path, "expected as many samples as its header says");
      }
      fclose(file);
      return sound;
    }
    if (memcmp(bytes, "fmt ", 4) == 0 && len >= 16 && fread(bytes, 1, 16, file) == 16) {
      if (number(bytes, 2) != 1 || number(bytes + 2, 2) != 1 || number(bytes + 14, 2) != 16) {
        fail(path, "expected one channel of 16 bits");
      }
      sound.rate = number(bytes + 4, 4);
      len -= 16;
    }
    if (fseek(file, (long)(len + len % 2), SEEK_CUR) != 0) {
      break;
    }
  }
  fail(path, "expected a format and samples");
  return sound;
}

static void write_wav(const char *path, Sound sound) {
  unsigned char bytes[HEADER] = "RIFF    WAVEfmt ";
  FILE *file = fopen(path, "wb");
  size_t i;
  put(bytes + 4, 4, (unsigned)(HEADER - 8 + 2 * sound.len));
  put(bytes + 16, 4, 16);
  put(bytes + 20, 2, 1);
  put(bytes + 22, 2, 1);
  put(bytes + 24, 4, sound.rate);
  put(bytes + 28, 4, 2 * sound.rate);
  put(bytes + 32, 2, 2);
  put(bytes + 34, 2, 16);
  memcpy(bytes + 36, "data", 4);
  put(bytes + 40, 4, (unsigned)(2 * sound.len));
  if (!file || fwrite(bytes, 1, HEADER, file) != HEADER) {
    fail(path, "it cannot be written");
  }
  for (i = 0; i < sound.len; i++) {
    float x = sound.samples[i] > 1 ? 1 : sound.samples[i] < -1 ? -1 : sound.samples[i];
    put(bytes, 2, (unsigned)lrintf(x * 32767.0f));
    if (fwrite(bytes, 1, 2, file) != 2) {
      fail(path, "it cannot be written");
    }
  }
  if (fclose(file) != 0) {
    fail(path, "it cannot be written");
  }
}

/* Four notes, each of some harmonics that die away. */
static Sound strings(void) {
  static const double notes[] = {82.41, 110.0, 146.83, 196.0};
  Sound sound = {NULL, 5 * RATE, RATE};
  size_t i;
  int k;
  sound.samples = malloc(sound.len * sizeof(float));
  if (!sound.samples) {
    fail("strings", "no memory");
  }
  for (i = 0; i < sound.len; i++) {
    double t = fmod((double)i, 1.25 * RATE) / RATE, x = 0;
    for (k = 1; k <= 6; k++) {
      x += sin(6.283185307 * notes[i / (5 * RATE / 4)] * k * t) * exp(-t * (2 + k)) / k;
    }
    sound.samples[i] = (float)(0.4 * x);
  }
  return sound;
}

static void check(ElmanStatus status) {
  if (status != ELMAN_STATUS_OK) {
    fail(elman_status_name((int)status), elman_last_error());
  }
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
  ElmanModel *model = NULL;
  ElmanStream *stream = NULL;
  ElmanStatus status = ELMAN_STATUS_OK;
  double rate = 0, begin, took, length;
  Sound sound;
  FILE *dry;
  size_t i;
  if (argc != 4) {
    fprintf(stderr, "usage: amp MODEL DRY.wav WET.wav\n");
    return 2;
  }
  if (!elman_abi_matches()) {
    fail("libelman_capi", "it is of another version than elman.h");
  }
  if ((dry = fopen(argv[2], "rb")) != NULL) {
    fclose(dry);
  } else {
    sound = strings();
    write_wav(argv[2], sound);
    free(sound.samples);
  }
  sound = read_wav(argv[2]);

  /* Once, before the sound begins. */
  check(elman_model_open(argv[1], &model));
  check(elman_stream_new(model, &stream));
  if (elman_model_sample_rate(model, &rate) == ELMAN_STATUS_OK && rate != (double)sound.rate) {
    fprintf(stderr, "amp: note: the model is of %.0f Hz, the sound of %u Hz\n", rate, sound.rate);
  }

  /* In the callback. */
  begin = seconds();
  for (i = 0; i < sound.len; i++) {
    ElmanStatus now = elman_step(stream, &sound.samples[i], 1, &sound.samples[i], 1);
    status = status == ELMAN_STATUS_OK ? now : status;
  }
  took = seconds() - begin;
  check(status);

  write_wav(argv[3], sound);
  length = (double)sound.len / sound.rate;
  printf("%.2f s of sound in %.4f s: %.0f times as fast as real time, %.0f ns a sample\n", length, took, length / took,
         1e9 * took / (double)sound.len);
  free(sound.samples);
  check(elman_stream_free(&stream));
  check(elman_model_unref(&model));
  elman_collect();
  return 0;
}
