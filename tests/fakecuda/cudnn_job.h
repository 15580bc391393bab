/*
 * cudnn_job.h: what a plan of the fake cuDNN computes, and what computes it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CUDNN_JOB_H
#define CUDNN_JOB_H

#include <cudnn.h>
#include <glib.h>

#define MAX_DIMS 4
#define MAX_TENSORS 12
#define MAX_OPS 6

/* All are of gint64, so that a graph can be written down as a list of
 * numbers. */
typedef struct
{
  gint64 uid, type, is_virtual, alignment;
  gint64 dims[MAX_DIMS], strides[MAX_DIMS];
} Tensor;

#define CONVOLUTION -1

typedef struct
{
  gint64 mode;                  /* of pointwise; or CONVOLUTION */
  gint64 x, b, y;               /* tensors; b: weights, or -1 */
  gint64 stride[2], pre[2], post[2], dilation[2];
  gint64 upper_clip, slope;     /* bits of doubles */
} Op;

typedef struct
{
  gint64 engine;
  gint64 n_tensors, n_ops;
  Tensor tensors[MAX_TENSORS];
  Op ops[MAX_OPS];
} Graph;

/* Engines in the order in which they are proposed. */
enum
{
  ENGINE_WORKSPACE,             /* wants memory */
  ENGINE_UNFINISHED,            /* cannot be made into a plan */
  ENGINE_GREEDY,                /* wants too much memory */
  ENGINE_RANDOM,                /* nondeterministic: computes anything */
  ENGINE_TENSOR_CORE,           /* of floats: computes anything */
  ENGINE_WINOGRAD,              /* inexact: computes anything */
  ENGINE_UNABLE,                /* fails when it runs */
  ENGINE_PLAIN,
  N_ENGINES,
  ENGINE_FALLBACK = N_ENGINES
};

#define WORKSPACE 4096

static inline gint64
engine_workspace (gint64 engine)
{
  return engine == ENGINE_GREEDY ? (gint64) 1 << 30
      : engine == ENGINE_WORKSPACE ? WORKSPACE : 0;
}

typedef struct
{
  Graph graph;
  gpointer data[MAX_TENSORS];
  gpointer workspace;
} Job;

/* Bytes from the first to the last element. */
gsize fake_tensor_bytes (const Tensor * t);
/* Computes a Job, on the host; a function for a stream. */
void fake_cudnn_run (void *job);

#endif
