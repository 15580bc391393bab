/*
 * overlay.c: collects layers of colour by cells of the frame, and has a kernel
 * blend them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* A frame is prepared while the one before is still on its way. */
#define N_SLOTS 2
#define CELLS_PER_ROW (CI_OVERLAY_MAX_SIZE / CI_CELL)

/* What a frame uploads at once: coverage, cells, layers. */
typedef struct
{
  guint8 *host;                 /* pinned */
  guint8 *memory;               /* on the device */
  gsize bytes;
  cudaEvent_t done;             /* both may be written again */
} Slot;

typedef struct
{
  guint32 cell;
  CiBlendLayer layer;
} Layer;

typedef struct
{
  CiCudaDevice *device;
  cudaStream_t stream;          /* of frames that have none */
  Slot slots[N_SLOTS];
  gint next;

  GArray *cells;                /* CiBlendCell; first: how many layers */
  GArray *layers;               /* Layer, in the order in which they came */
  GByteArray *coverage;
  GArray *numbers;              /* guint32: 1 + number of the cell there, or
                                   0; CELLS_PER_ROW a row of the frame */
} Overlay;

/* ---- layers ------------------------------------------------------------ */

static void
clear_layers (Overlay * overlay)
{
  for (guint i = 0; i < overlay->cells->len; i++) {
    const CiBlendCell *cell = &g_array_index (overlay->cells, CiBlendCell, i);

    g_array_index (overlay->numbers, guint32,
        cell->y * CELLS_PER_ROW + cell->x) = 0;
  }
  g_array_set_size (overlay->cells, 0);
  g_array_set_size (overlay->layers, 0);
  g_byte_array_set_size (overlay->coverage, 0);
}

static void
overlay_add (gpointer native, const CiOverlayLayer * src)
{
  Overlay *overlay = native;
  guint x = src->x / CI_CELL, y = src->y / CI_CELL;
  guint at = y * CELLS_PER_ROW + x;
  Layer layer = { .layer = {CI_UNIFORM, 0, src->opacity, src->components, 0} };
  guint32 *number;

  g_return_if_fail (src->x >= 0 && src->y >= 0 && x < CELLS_PER_ROW
      && y < CELLS_PER_ROW);
  if (at >= overlay->numbers->len)
    g_array_set_size (overlay->numbers, (y + 1) * CELLS_PER_ROW);
  number = &g_array_index (overlay->numbers, guint32, at);
  if (*number == 0) {
    CiBlendCell cell = { x, y, 0, 0 };

    g_array_append_val (overlay->cells, cell);
    *number = overlay->cells->len;
  }
  layer.cell = *number - 1;
  g_array_index (overlay->cells, CiBlendCell, layer.cell).first++;
  for (gint c = 0; c < 4; c++)
    layer.layer.color |= (guint32) src->color[c] << 8 * c;
  if (src->coverage) {
    layer.layer.coverage = overlay->coverage->len / CI_CELL_BYTES;
    g_byte_array_append (overlay->coverage, src->coverage, CI_CELL_BYTES);
  }
  g_array_append_val (overlay->layers, layer);
}

/* Writes the cells, and the layers by cells. */
static void
sort_layers (Overlay * overlay, CiBlendCell * cells, CiBlendLayer * layers)
{
  guint32 n = 0;

  for (guint i = 0; i < overlay->cells->len; i++) {
    cells[i] = g_array_index (overlay->cells, CiBlendCell, i);
    cells[i].end = n;
    n += cells[i].first;
    cells[i].first = cells[i].end;
  }
  for (guint i = 0; i < overlay->layers->len; i++) {
    const Layer *layer = &g_array_index (overlay->layers, Layer, i);

    layers[cells[layer->cell].end++] = layer->layer;
  }
}

/* ---- frames ------------------------------------------------------------ */

/* A slot that nothing reads, with room for @n_bytes. */
static Slot *
get_slot (Overlay * overlay, gsize n_bytes, GError ** error)
{
  Slot *slot = &overlay->slots[overlay->next];

  overlay->next = (overlay->next + 1) % N_SLOTS;
  if (!ci_cuda_ok (cudaEventSynchronize (slot->done), "a frame", error))
    return NULL;
  if (n_bytes <= slot->bytes)
    return slot;
  if (slot->host)
    cudaFreeHost (slot->host);
  if (slot->memory)
    ci_cuda_free (overlay->device, slot->memory);
  slot->host = slot->memory = NULL;
  slot->bytes = 0;
  /* with room for a frame with more on it */
  n_bytes += n_bytes / 2;
  if (!ci_cuda_ok (cudaHostAlloc ((gpointer *) & slot->host, n_bytes,
              cudaHostAllocDefault), "pinned memory", error)
      || !(slot->memory = ci_cuda_alloc (overlay->device, n_bytes, error)))
    return NULL;
  slot->bytes = n_bytes;
  return slot;
}

static gint
get_planes (const CiImageFormat * format, const CiImage * image,
    CiBlendPlane planes[CI_MAX_PLANES])
{
  /* x_shift, y_shift are those of all planes but the first */
  static const struct
  {
    guint8 n_planes, shift;
    struct
    {
      guint8 bytes, component[4];
    } planes[CI_MAX_PLANES];
  } layouts[] = {
#define NONE CI_NO_COMPONENT
#define LOW(c) (CI_LOW_BYTE | (c))
    [CI_PIXEL_NV12] = {2, 1, {{1, {0}}, {2, {1, 2}}}},
    [CI_PIXEL_I420] = {3, 1, {{1, {0}}, {1, {1}}, {1, {2}}}},
    [CI_PIXEL_RGB] = {1, 0, {{3, {0, 1, 2}}}},
    [CI_PIXEL_BGR] = {1, 0, {{3, {2, 1, 0}}}},
    [CI_PIXEL_RGBA] = {1, 0, {{4, {0, 1, 2, 3}}}},
    [CI_PIXEL_BGRA] = {1, 0, {{4, {2, 1, 0, 3}}}},
    [CI_PIXEL_RGBX] = {1, 0, {{4, {0, 1, 2, NONE}}}},
    [CI_PIXEL_BGRX] = {1, 0, {{4, {2, 1, 0, NONE}}}},
    [CI_PIXEL_GRAY8] = {1, 0, {{1, {0}}}},
    [CI_PIXEL_P010] = {2, 1, {{2, {LOW (0), 0}},
            {4, {LOW (1), 1, LOW (2), 2}}}},
#undef NONE
#undef LOW
  };
  gint n = layouts[format->pixel_format].n_planes;

  for (gint p = 0; p < n; p++) {
    CiBlendPlane *plane = &planes[p];
    gint shift = p ? layouts[format->pixel_format].shift : 0;

    plane->data = (guint8 *) image->planes[p];
    plane->stride = image->strides[p];
    plane->n_groups = (format->width + shift) >> shift;
    plane->n_rows = (format->height + shift) >> shift;
    plane->x_shift = plane->y_shift = shift;
    plane->bytes = layouts[format->pixel_format].planes[p].bytes;
    memcpy (plane->component,
        layouts[format->pixel_format].planes[p].component,
        sizeof (plane->component));
  }
  return n;
}

static gboolean
blend (Overlay * overlay, const CiImageFormat * format, const CiImage * image,
    GError ** error)
{
  gsize coverage_bytes = overlay->coverage->len;
  gsize cells_bytes = overlay->cells->len * sizeof (CiBlendCell);
  gsize layers_bytes = overlay->layers->len * sizeof (CiBlendLayer);
  gsize n_bytes = coverage_bytes + cells_bytes + layers_bytes;
  cudaStream_t stream = image->stream ? image->stream : overlay->stream;
  Slot *slot = get_slot (overlay, n_bytes, error);
  CiBlendCellsArgs args;
  gint n_planes;
  gboolean ok;

  if (!slot)
    return FALSE;
  memset (&args, 0, sizeof (args));
  n_planes = get_planes (format, image, args.planes);
  args.coverage = slot->memory;
  args.cells = (const CiBlendCell *) (slot->memory + coverage_bytes);
  args.layers = (const CiBlendLayer *) (slot->memory + coverage_bytes
      + cells_bytes);
  memcpy (slot->host, overlay->coverage->data, coverage_bytes);
  sort_layers (overlay, (CiBlendCell *) (slot->host + coverage_bytes),
      (CiBlendLayer *) (slot->host + coverage_bytes + cells_bytes));

  ok = ci_cuda_ok (cudaMemcpyAsync (slot->memory, slot->host, n_bytes,
          cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync", error)
      && ci_cuda_ok (ci_cuda_launch_blocks (CI_KERNEL_blend_cells, &args,
          overlay->cells->len, n_planes, 1, stream), "kernel blend_cells",
      error)
      && ci_cuda_ok (cudaEventRecord (slot->done, stream), "cudaEventRecord",
      error)
      && (image->stream || ci_cuda_ok (cudaStreamSynchronize (stream),
          "kernel blend_cells", error));
  /* nothing goes on with a frame that was given up */
  if (!ok)
    cudaStreamSynchronize (stream);
  return ok;
}

static gboolean
overlay_blend (gpointer native, const CiImageFormat * format,
    const CiImage * image, GError ** error)
{
  Overlay *overlay = native;
  gboolean ok = TRUE;

  if (overlay->cells->len > 0 && (ok = ci_cuda_enter (overlay->device,
              error))) {
    ok = blend (overlay, format, image, error);
    ci_cuda_leave (overlay->device);
  }
  clear_layers (overlay);
  return ok;
}

/* ---- opening ----------------------------------------------------------- */

static void
overlay_close (gpointer native)
{
  Overlay *overlay = native;
  /* where the context is gone, so is what was in it */
  gboolean entered = ci_cuda_enter (overlay->device, NULL);

  for (gint i = 0; i < N_SLOTS; i++) {
    Slot *slot = &overlay->slots[i];

    if (slot->done) {
      cudaEventSynchronize (slot->done);
      cudaEventDestroy (slot->done);
    }
    if (slot->host)
      cudaFreeHost (slot->host);
    if (slot->memory)
      ci_cuda_free (overlay->device, slot->memory);
  }
  if (overlay->stream)
    cudaStreamDestroy (overlay->stream);
  if (entered)
    ci_cuda_leave (overlay->device);
  g_array_unref (overlay->cells);
  g_array_unref (overlay->layers);
  g_array_unref (overlay->numbers);
  g_byte_array_unref (overlay->coverage);
  g_free (overlay);
}

static gpointer
overlay_open (gpointer device, GError ** error)
{
  Overlay *overlay = g_new0 (Overlay, 1);
  gboolean ok;

  overlay->device = device;
  overlay->cells = g_array_new (FALSE, FALSE, sizeof (CiBlendCell));
  overlay->layers = g_array_new (FALSE, FALSE, sizeof (Layer));
  overlay->numbers = g_array_new (FALSE, TRUE, sizeof (guint32));
  overlay->coverage = g_byte_array_new ();
  if ((ok = ci_cuda_enter (device, error))) {
    ok = ci_cuda_ok (cudaStreamCreateWithFlags (&overlay->stream,
            cudaStreamNonBlocking), "cudaStreamCreate", error);
    /* one that was never recorded counts as done */
    for (gint i = 0; i < N_SLOTS && ok; i++)
      ok = ci_cuda_ok (cudaEventCreateWithFlags (&overlay->slots[i].done,
              cudaEventDisableTiming | cudaEventBlockingSync),
          "cudaEventCreate", error);
    ci_cuda_leave (device);
  }
  if (!ok)
    g_clear_pointer (&overlay, overlay_close);
  return overlay;
}

extern const CiOverlayFuncs ci_cuda_overlay;
const CiOverlayFuncs ci_cuda_overlay = {
  overlay_open, overlay_close, overlay_add, overlay_blend
};
