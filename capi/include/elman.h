/*
 * Elman: recurrent networks (Elman RNN, GRU, LSTM) on CPUs, from C.
 *
 *     ElmanModel *model = NULL;
 *     ElmanStream *stream = NULL;
 *     if (!elman_abi_matches() || elman_model_open("net.safetensors", &model) != ELMAN_STATUS_OK
 *         || elman_stream_new(model, &stream) != ELMAN_STATUS_OK || elman_prepare(stream, 512) != ELMAN_STATUS_OK)
 *         fprintf(stderr, "%s\n", elman_last_error());
 *     ...
 *     elman_block(stream, x, 1, y, 1, frames);    in the callback
 *     ...
 *     elman_stream_free(&stream);
 *     elman_model_unref(&model);
 *     elman_collect();
 *
 * This file is made by cbindgen from capi/src; elman.hpp beside it has classes for C++.
 *
 * Pointers. What is passed points to as many elements as is said, for the time of the call, and is not changed by another
 * thread meanwhile. A handle is one that this library gave and that was not collected. A NULL, a wrong length and, until
 * elman_collect, a handle that was freed are told, by a status and a sentence (elman_last_error), and change nothing; what
 * a call cannot tell (a pointer to too little memory, a handle that was collected) is undefined behaviour.
 *
 * Results. A call that answers ELMAN_STATUS_OK did all of it, and leaves the last error as it was. A panic inside is
 * ELMAN_STATUS_PANIC and never passes into C.
 *
 * Floating-point mode. Hosts set their threads to flush denormals to zero. Every call runs in the default mode, whatever
 * the thread's is, and restores that on return, so the results have the same bits on every thread. That is so on x86-64
 * and AArch64; on other CPUs another mode than the default is ELMAN_STATUS_FLOAT_MODE.
 *
 * Threads. 'Real time' calls allocate and free nothing, take no lock and make no system call, also where they fail (but
 * see elman_last_error); the others may do all of that. 'All at once' calls may be made by any threads at the same time.
 * 'One at a time' calls may be made by any thread, but the same stream is in one call only, and what one thread did to
 * it has to be seen by the next (a mutex outside of the callback, or the host's own order). Different streams, also over
 * one model, are independent. Setting a caller's pointer to NULL is a write to that pointer as any other.
 *
 *     call                         real time   threads
 *     ---------------------------  ----------  ----------------------------------------------------
 *     elman_step                   yes         one at a time
 *     elman_step_index             yes         one at a time
 *     elman_block                  yes         one at a time
 *     elman_reset                  yes         one at a time
 *     elman_get_state              yes         one at a time
 *     elman_set_state              yes         one at a time
 *     elman_stream_free            yes         one at a time, the last call with the stream
 *     elman_model_ref              yes         all at once
 *     elman_model_unref            yes         all at once, the last call with that reference
 *     elman_stream_new             no          all at once
 *     elman_prepare                no          one at a time
 *     elman_run                    no          all at once
 *     elman_model_open             no          all at once
 *     elman_model_from_bytes       no          all at once
 *     elman_collect                no          all at once; with no call that uses what was freed
 *     elman_model_inputs           yes         all at once
 *     elman_model_outputs          yes         all at once
 *     elman_model_layers           yes         all at once
 *     elman_model_state_size       yes         all at once
 *     elman_model_vocabulary       yes         all at once
 *     elman_model_isa              yes         all at once
 *     elman_model_sample_rate      no          all at once
 *     elman_model_input_level      no          all at once
 *     elman_model_output_level     no          all at once
 *     elman_model_loudness         no          all at once
 *     elman_model_metadata         yes         all at once
 *     elman_model_metadata_at      yes         all at once
 *     elman_last_error             yes         all at once, each thread has its own
 *     elman_status_name            yes         all at once
 *     elman_version                yes         all at once
 *     elman_abi_version            yes         all at once
 *     elman_abi_matches            yes         all at once
 *
 * 'elman_stream_free' and 'elman_model_unref' only take the handle out of use; its memory is freed by elman_collect, or by
 * the next call that makes a handle. So a callback may let go of a stream, and another thread tidies up behind it.
 */


#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * The version of the interface that this header describes. It changes where a program would have to be compiled anew.
 */
#define ELMAN_ABI_VERSION 1

/**
 * The version of Elman that this header is of: major, minor, patch.
 */
#define ELMAN_VERSION_MAJOR 0

/**
 * See `ELMAN_VERSION_MAJOR`.
 */
#define ELMAN_VERSION_MINOR 1

/**
 * See `ELMAN_VERSION_MAJOR`.
 */
#define ELMAN_VERSION_PATCH 0

/**
 * What a call answers. A number keeps its meaning in all versions; later ones may have more of them.
 */
typedef enum ElmanStatus {
  /**
   * Done.
   */
  ELMAN_STATUS_OK = 0,
  /**
   * A pointer is NULL that may not be.
   */
  ELMAN_STATUS_NULL = 1,
  /**
   * A pointer is not one to a live handle of that kind: freed, or never made here.
   */
  ELMAN_STATUS_NOT_A_HANDLE = 2,
  /**
   * A number of elements, frames or channels is not the one that is needed.
   */
  ELMAN_STATUS_LENGTH = 3,
  /**
   * A tensor or a state has other sizes than the model needs.
   */
  ELMAN_STATUS_SHAPE = 4,
  /**
   * A value in the data or the metadata is not one that it may have.
   */
  ELMAN_STATUS_VALUE = 5,
  /**
   * A setting is outside its range.
   */
  ELMAN_STATUS_SETTING = 6,
  /**
   * A call does not fit what was called before.
   */
  ELMAN_STATUS_STATE = 7,
  /**
   * The model has no parameters yet.
   */
  ELMAN_STATUS_STALE = 8,
  /**
   * Well defined, but not something that the engine can run, or run step by step.
   */
  ELMAN_STATUS_UNSUPPORTED = 9,
  /**
   * A model file can be read in more than one way.
   */
  ELMAN_STATUS_AMBIGUOUS = 10,
  /**
   * ELMAN_ISA names a tier of instructions that is unknown or that this machine lacks.
   */
  ELMAN_STATUS_ISA = 11,
  /**
   * The tensors of a model file do not fit.
   */
  ELMAN_STATUS_WEIGHTS = 12,
  /**
   * A file is not what it should be.
   */
  ELMAN_STATUS_FORMAT = 13,
  /**
   * The operating system refused.
   */
  ELMAN_STATUS_IO = 14,
  /**
   * There is not as much memory as this would take.
   */
  ELMAN_STATUS_MEMORY = 15,
  /**
   * The product of some sizes cannot be addressed.
   */
  ELMAN_STATUS_OVERFLOW = 16,
  /**
   * The model's file does not say it.
   */
  ELMAN_STATUS_ABSENT = 17,
  /**
   * The calling thread's floating-point mode is not the default, and cannot be set on this CPU.
   */
  ELMAN_STATUS_FLOAT_MODE = 18,
  /**
   * A fault in the library. The handle that the call was given should be freed.
   */
  ELMAN_STATUS_PANIC = 19,
  /**
   * An error of a kind that has no number of its own yet.
   */
  ELMAN_STATUS_OTHER = 20,
} ElmanStatus;

/**
 * A model, read from a file. It does not change, and may be used by all threads at once.
 */
typedef struct ElmanModel ElmanModel;

/**
 * A row that goes through a model step by step, with a state of its own: a channel, a voice, a sensor.
 */
typedef struct ElmanStream ElmanStream;

/**
 * A batch of sequences for `elman_run`. Set it to zeros, then `size` and what is needed.
 */
typedef struct ElmanBatch {
  /**
   * sizeof(ElmanBatch): later versions may add fields at the end.
   */
  size_t size;
  /**
   * Steps of each sequence.
   */
  size_t steps;
  /**
   * How many sequences there are.
   */
  size_t rows;
  /**
   * The input, row-major: steps, rows, features; rows, steps, features for a model that is batch-first. Indices are
   * whole numbers.
   */
  const float *x;
  /**
   * Numbers at `x`.
   */
  size_t x_len;
  /**
   * Receives the output in the same order; one step where the model's read-out leaves one.
   */
  float *y;
  /**
   * Numbers at `y`.
   */
  size_t y_len;
  /**
   * The states that the sequences begin in: h of every recurrent layer (layer, row, unit), then c of every LSTM layer.
   * NULL for zeros, or the model's own.
   */
  const float *first_state;
  /**
   * Receives the states after the last step. May be NULL.
   */
  float *last_state;
  /**
   * Numbers at `first_state` and at `last_state`: rows times the model's state size. Not read where both are NULL.
   */
  size_t state_len;
  /**
   * How many threads may work on it; 0 is 1.
   */
  size_t threads;
} ElmanBatch;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the interface that the library was built with: `ELMAN_ABI_VERSION` of its own header.
 * `elman_abi_matches()` compares the two; ask it once after the library was loaded.
 */
uint32_t elman_abi_version(void);

/**
 * The version of the library, such as "0.1.0".
 */
const char *elman_version(void);

/**
 * A status as a word, such as "length"; "unknown" for a number that is none.
 */
const char *elman_status_name(int status);

/**
 * What the last call that failed on this thread has to say: one line, never NULL, empty where none has failed. It stays
 * until the next call that fails on this thread.
 *
 * The sentence lies in memory of the thread's own. Where the library was loaded by dlopen, the C library may allocate
 * that when a thread's first call fails, or first asks: ask once on a thread that may not allocate, before it begins.
 */
const char *elman_last_error(void);

/**
 * Reads a model from a safetensors file: one that Elman saved, or a state dict of PyTorch's in which one reading exists.
 * `path` is UTF-8, on Unix any bytes. `*model` receives the handle, with one reference; NULL where the call fails.
 */
enum ElmanStatus elman_model_open(const char *path,
                                  struct ElmanModel **model);

/**
 * The same from the `len` bytes of such a file, which are not needed any more afterwards.
 */
enum ElmanStatus elman_model_from_bytes(const void *bytes, size_t len, struct ElmanModel **model);

/**
 * One more reference to the model, to be given back by `elman_model_unref`.
 */
enum ElmanStatus elman_model_ref(struct ElmanModel *model);

/**
 * Gives a reference back and sets `*model` to NULL. With the last one the model is freed for C, but its memory only by the
 * next `elman_collect`; streams over it go on.
 */
enum ElmanStatus elman_model_unref(struct ElmanModel **model);

/**
 * Frees the memory of all models and streams that were given back or freed since the last call, and answers how many
 * there were. Those that make models and streams, `elman_model_open`, `elman_model_from_bytes` and `elman_stream_new`, do
 * the same.
 */
size_t elman_collect(void);

/**
 * Features of an input's step; 1 where it is an index.
 */
enum ElmanStatus elman_model_inputs(const struct ElmanModel *model, size_t *inputs);

/**
 * Features of an output's step.
 */
enum ElmanStatus elman_model_outputs(const struct ElmanModel *model, size_t *outputs);

/**
 * Entries of the model's list of layers: embedding, recurrent, linear, activation, read-out.
 */
enum ElmanStatus elman_model_layers(const struct ElmanModel *model, size_t *layers);

/**
 * Numbers of one row's state: h of every recurrent layer, then c of every LSTM layer.
 */
enum ElmanStatus elman_model_state_size(const struct ElmanModel *model, size_t *size);

/**
 * How many indices a model that begins with an embedding knows; 0 for all others.
 */
enum ElmanStatus elman_model_vocabulary(const struct ElmanModel *model, size_t *vocabulary);

/**
 * The tier of instructions that the model runs on, such as "avx512". The text lives as long as the model.
 */
enum ElmanStatus elman_model_isa(const struct ElmanModel *model, const char **isa);

/**
 * The sample rate in Hz of the signals that the model was trained on: the metadata's key "sample_rate".
 * ELMAN_STATUS_ABSENT where the file does not say it.
 */
enum ElmanStatus elman_model_sample_rate(const struct ElmanModel *model, double *hz);

/**
 * The analogue level in dBu of a 1 kHz sine of amplitude 1 (0 dBFS) at the input: the key "input_level_dbu".
 * ELMAN_STATUS_ABSENT where the file does not say it.
 */
enum ElmanStatus elman_model_input_level(const struct ElmanModel *model, double *dbu);

/**
 * The same at the output: the key "output_level_dbu".
 */
enum ElmanStatus elman_model_output_level(const struct ElmanModel *model, double *dbu);

/**
 * How loud the model's output is, in dB relative to 1: the key "loudness". ELMAN_STATUS_ABSENT where the file does not say
 * it.
 */
enum ElmanStatus elman_model_loudness(const struct ElmanModel *model,
                                      double *db);

/**
 * What the metadata of the model's file says under `key`, such as "sample_rate"; the model's layers as text are under
 * "elman.spec". ELMAN_STATUS_ABSENT, and NULL, where it says nothing. The text lives as long as the model.
 */
enum ElmanStatus elman_model_metadata(const struct ElmanModel *model,
                                      const char *key,
                                      const char **value);

/**
 * The metadata's key and value number `index`, from 0 on; ELMAN_STATUS_ABSENT, and NULL, behind the last. The texts live
 * as long as the model.
 */
enum ElmanStatus elman_model_metadata_at(const struct ElmanModel *model,
                                         size_t index,
                                         const char **key,
                                         const char **value);

/**
 * A stream over the model, which it keeps alive, in the model's own first state or in zeros. `*stream` receives the
 * handle; NULL where the call fails. All memory of a step is allocated and touched here.
 */
enum ElmanStatus elman_stream_new(const struct ElmanModel *model,
                                  struct ElmanStream **stream);

/**
 * Frees the stream and sets `*stream` to NULL. Its memory is freed by the next `elman_collect`.
 */
enum ElmanStatus elman_stream_free(struct ElmanStream **stream);

/**
 * Makes room for blocks of up to `max_frames` steps, at least 1; a new stream has room for 1. The state stays.
 */
enum ElmanStatus elman_prepare(struct ElmanStream *stream,
                               size_t max_frames);

/**
 * One step: `x` holds the input's features, `y` receives the output's. They may be the same memory.
 *
 * For a model that begins with an embedding `x` is one whole number, the index.
 */
enum ElmanStatus elman_step(struct ElmanStream *stream, const float *x, size_t x_len, float *y, size_t y_len);

/**
 * One step of a model that begins with an embedding.
 */
enum ElmanStatus elman_step_index(struct ElmanStream *stream, uint32_t index, float *y, size_t y_len);

/**
 * `frames` steps, at least 1 and at most what `elman_prepare` was given. Planar: `x[feature]` points to `frames` numbers,
 * and so does `y[feature]`; there are as many pointers as the model has inputs and outputs. All of `x` is read before
 * any of `y` is written, so they may be the same memory. What as many calls of `elman_step` would give, in less time.
 */
enum ElmanStatus elman_block(struct ElmanStream *stream,
                             const float *const *x,
                             size_t x_channels,
                             float *const *y,
                             size_t y_channels,
                             size_t frames);

/**
 * Goes back to the state in which the stream began.
 */
enum ElmanStatus elman_reset(struct ElmanStream *stream);

/**
 * Copies the state after the last step to `state`, of `len` numbers, which is the model's state size.
 */
enum ElmanStatus elman_get_state(struct ElmanStream *stream, float *state, size_t len);

/**
 * Goes on from `state`, of `len` numbers, as `elman_get_state` gave it for a stream over the same model.
 * ELMAN_STATUS_SHAPE where the length is that of another model; the stream is then as it was.
 */
enum ElmanStatus elman_set_state(struct ElmanStream *stream, const float *state, size_t len);

/**
 * Runs the model over whole sequences: what a stream over each of them would give, in less time.
 */
enum ElmanStatus elman_run(const struct ElmanModel *model, const struct ElmanBatch *batch);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* Whether the library is of the version of this header: 1 if so. */
static inline int elman_abi_matches(void) {
  return elman_abi_version() == ELMAN_ABI_VERSION;
}
