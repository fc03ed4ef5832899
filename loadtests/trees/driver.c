/* Calls the competitors that are C functions in a loop and takes the time, for loadtests/trees/run.py.
 *
 * timer.rs does the same for sidegate, with the same batches: change both or neither. Everything that can be made before
 * the call is made before it: arrays of entries for TL2cgen, tensors for ONNX Runtime, the fast configuration of LightGBM.
 * ONNX Runtime's header is not in its wheel: the few functions that are used stand below by their place in OrtApi, which
 * is append-only.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_NS 50e3 /* calls timed together, so that reading the clock does not count */

typedef struct competitor competitor;
struct competitor {
    /* Predicts call number `call`, of the calls into which all rows are cut. 0 is success. */
    int (*predict)(competitor *, int64_t call);
    int64_t rows;     /* per call */
    int64_t calls;    /* as many as the rows give */
    int64_t columns;
    int64_t scores;   /* per row */
    void *function;   /* what is called */
    void *handle;     /* its first argument, where it takes one */
    char *data;       /* all rows, in the competitor's own element type */
    int64_t element;  /* bytes of an element */
    void *out;        /* results of one call */
    void *spare;      /* a row that may be overwritten */
    void **inputs;    /* ONNX Runtime: a tensor for each call */
    void **outputs;   /* ONNX Runtime: its tensors over `out` and `labels` */
    const char **names;
    int64_t output_count;
};

/* === what is called === */

/* TL2cgen: one row a call; the generated function adds to what is in the result. */
int predict_tl2cgen(competitor *c, int64_t call) {
    void (*f)(void *, int, void *) = (void (*)(void *, int, void *))c->function;
    int64_t stride = c->columns * c->element, width = c->scores * c->element;
    char *row = c->data + call * c->rows * stride, *out = c->out;
    memset(out, 0, (size_t)(c->rows * width));
    for (int64_t r = 0; r < c->rows; r++, row += stride, out += width) f(row, 0, out);
    return 0;
}

/* TL2cgen with quantize: it overwrites the row with integers, so it gets a copy, as its own runtime gives it. */
int predict_tl2cgen_quantized(competitor *c, int64_t call) {
    void (*f)(void *, int, void *) = (void (*)(void *, int, void *))c->function;
    int64_t stride = c->columns * c->element, width = c->scores * c->element;
    char *row = c->data + call * c->rows * stride, *out = c->out;
    memset(out, 0, (size_t)(c->rows * width));
    for (int64_t r = 0; r < c->rows; r++, row += stride, out += width) {
        memcpy(c->spare, row, (size_t)stride);
        f(c->spare, 0, out);
    }
    return 0;
}

int predict_lleaves(competitor *c, int64_t call) {
    void (*f)(void *, void *, int, int) = (void (*)(void *, void *, int, int))c->function;
    f(c->data + call * c->rows * c->columns * c->element, c->out, 0, (int)c->rows);
    return 0;
}

int predict_lightgbm_single(competitor *c, int64_t call) {
    int (*f)(void *, const void *, int64_t *, double *) = (int (*)(void *, const void *, int64_t *, double *))c->function;
    int64_t length;
    return f(c->handle, c->data + call * c->columns * c->element, &length, c->out);
}

int predict_lightgbm(competitor *c, int64_t call) {
    int (*f)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *, double *) =
        (int (*)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *, double *))c->function;
    int64_t length;
    /* 0: float32; row-major; 0: transformed scores; every tree */
    return f(c->handle, c->data + call * c->rows * c->columns * c->element, 0, (int32_t)c->rows, (int32_t)c->columns, 1, 0, 0,
             -1, "num_threads=1", &length, c->out);
}

/* === ONNX Runtime === */

typedef struct { void *(*f[132])(); } ort_api;
typedef struct { const ort_api *(*get)(uint32_t version); const char *(*version)(void); } ort_base;
enum {
    GetErrorMessage = 2, CreateEnv = 3, DisableTelemetryEvents = 6, CreateSession = 7, Run = 9, CreateSessionOptions = 10,
    DisableMemPattern = 17, DisableCpuMemArena = 19, SetSessionGraphOptimizationLevel = 23, SetIntraOpNumThreads = 24,
    SetInterOpNumThreads = 25, CreateTensorWithDataAsOrtValue = 49, CreateCpuMemoryInfo = 69, ReleaseSession = 95,
    ReleaseValue = 96
};
static const ort_api *ort;
static void *env, *memory;

static int failed(void *status) {
    if (!status) return 0;
    fprintf(stderr, "ONNX Runtime: %s\n", ((const char *(*)(void *))ort->f[GetErrorMessage])(status));
    return 1;
}
#define TRY(call) do { if (failed((void *)(call))) return 1; } while (0)

int ort_start(const ort_base *(*base)(void)) {
    if (ort) return 0;
    ort = base()->get(24);
    if (!ort) return 1;
    TRY(((void *(*)(int, const char *, void **))ort->f[CreateEnv])(4, "trees", &env));
    TRY(((void *(*)(void *))ort->f[DisableTelemetryEvents])(env));
    /* 1: arena allocator, 0: default memory; only describes memory that is ours */
    TRY(((void *(*)(int, int, void **))ort->f[CreateCpuMemoryInfo])(1, 0, &memory));
    return 0;
}

/* One thread, every optimisation; without the arena and its plans unless asked: that is faster for small graphs. */
int ort_session(const char *file, int arena, void **session) {
    void *options;
    TRY(((void *(*)(void **))ort->f[CreateSessionOptions])(&options));
    TRY(((void *(*)(void *, int))ort->f[SetIntraOpNumThreads])(options, 1));
    TRY(((void *(*)(void *, int))ort->f[SetInterOpNumThreads])(options, 1));
    TRY(((void *(*)(void *, int))ort->f[SetSessionGraphOptimizationLevel])(options, 99));
    if (!arena) {
        TRY(((void *(*)(void *))ort->f[DisableMemPattern])(options));
        TRY(((void *(*)(void *))ort->f[DisableCpuMemArena])(options));
    }
    TRY(((void *(*)(void *, const char *, void *, void **))ort->f[CreateSession])(env, file, options, session));
    return 0;
}

/* A tensor over memory that stays ours; `type` is ONNX's. */
int ort_tensor(void *data, int64_t bytes, int64_t rows, int64_t columns, int type, void **value) {
    int64_t shape[2] = {rows, columns};
    TRY(((void *(*)(void *, void *, size_t, const int64_t *, size_t, int, void **))ort->f[CreateTensorWithDataAsOrtValue])(
        memory, data, (size_t)bytes, shape, columns < 0 ? 1 : 2, type, value));
    return 0;
}

void ort_release_value(void *value) { ((void *(*)(void *))ort->f[ReleaseValue])(value); }
void ort_release_session(void *session) { ((void *(*)(void *))ort->f[ReleaseSession])(session); }

int predict_ort(competitor *c, int64_t call) {
    void *(*f)(void *, void *, const char *const *, void **, size_t, const char *const *, size_t, void **) =
        (void *(*)(void *, void *, const char *const *, void **, size_t, const char *const *, size_t, void **))ort->f[Run];
    return failed(f(c->handle, NULL, c->names, c->inputs + call, 1, c->names + 1, (size_t)c->output_count, c->outputs));
}

/* === time === */

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Calls for `seconds`, after a fifth of that to warm up: median and least time of a call in ns, and how many calls. */
int measure(competitor *c, int64_t *at, double seconds, double result[3]) {
    int64_t warmed = 0, call = *at % c->calls;
    double start = now_ns(), end;
    do {
        if (c->predict(c, call)) return 1;
        if (++call == c->calls) call = 0;
        warmed++;
        end = now_ns();
    } while (end - start < seconds / 5 * 1e9);
    int64_t size = (int64_t)(BATCH_NS / ((end - start) / (double)warmed));
    if (size < 1) size = 1;
    int64_t room = 64, count = 0;
    double *samples = malloc((size_t)room * sizeof *samples);
    start = now_ns();
    for (double from = start; count < 3 || from - start < seconds * 1e9; from = end) {
        from = now_ns(); /* not the last end: keeping the samples does not count */
        for (int64_t n = 0; n < size; n++) {
            if (c->predict(c, call)) return 1;
            if (++call == c->calls) call = 0;
        }
        end = now_ns();
        if (count == room) samples = realloc(samples, (size_t)(room *= 2) * sizeof *samples);
        samples[count++] = (end - from) / (double)size;
    }
    *at = call;
    qsort(samples, (size_t)count, sizeof *samples, ascending);
    result[0] = samples[count / 2];
    result[1] = samples[0];
    result[2] = (double)(count * size);
    free(samples);
    return 0;
}
