/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "coco_json.h"
#include "draw.h"

/* Large enough for the product's best speed, small enough for a round. */
#define SGEMM_SIZE 1536
#define MAX_SIDE 16384
#define DEFAULT_ROUNDS 20
#define MAX_BUSY 1024
#define MAX_TRIES 6             /* thresholds that find nothing new */

enum
{
  PREPROCESS,
  NETWORK,
  DECODE,
  MASKS,
  OVERLAY,
  N_STAGES
};

static const gchar *const stage_names[N_STAGES] = {
  "preprocess", "network", "decode", "masks", "overlay"
};

typedef struct
{
  CiModel *model;
  CiSession *session;
  const CiSessionOptions *options;
  CiDetectParams params;
  GstVideoFrame frame;
  CiImage image;
  GstMaskDraw *draw;
  gint n_instances;             /* of the last frame */

  guint n_rounds;
  gdouble *ms[N_STAGES];        /* per round, of a frame */
  gdouble *submit_ms;           /* what a frame takes the caller to submit */
  gint n_busy;                  /* threads of another process beside us */
  gdouble load_average;         /* of one minute, before we started */
  gdouble sgemm_gflops;
} Bench;

/* ---- the frame --------------------------------------------------------- */

/* Soft shapes with a little noise: neither flat nor random, as video is. */
static gboolean
map_frame (Bench * bench, gint width, gint height, CiImageFormat * format,
    GError ** error)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  GstVideoInfo info;
  GstBuffer *buffer;
  gint plane, x, y;
  gboolean ok;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, width, height);
  buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (&info), NULL);
  ok = buffer && gst_video_frame_map (&bench->frame, &info, buffer,
      GST_MAP_READWRITE);
  g_clear_pointer (&buffer, gst_buffer_unref);  /* the frame holds it */
  if (!ok) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "no memory for a frame of %dx%d", width, height);
    return FALSE;
  }

  for (plane = 0; plane < 2; plane++) {
    guint8 *row = GST_VIDEO_FRAME_PLANE_DATA (&bench->frame, plane);
    gint stride = GST_VIDEO_FRAME_PLANE_STRIDE (&bench->frame, plane);
    gint rows = plane ? (height + 1) / 2 : height;

    for (y = 0; y < rows; y++, row += stride) {
      for (x = 0; x < stride; x++)
        row[x] = 64 + 96 * x / width + 64 * ((x / 97 + y / 61) % 2)
            + g_rand_int_range (random, 0, 16);
    }
    bench->image.planes[plane] =
        GST_VIDEO_FRAME_PLANE_DATA (&bench->frame, plane);
    bench->image.strides[plane] = stride;
  }
  *format = (CiImageFormat) { CI_PIXEL_NV12, width, height, CI_YUV_BT709,
    FALSE
  };
  return TRUE;
}

/* ---- other work on the machine ------------------------------------------ */

static gpointer
spin (gpointer data)
{
  for (volatile guint i = 0;; i++);
  return NULL;
}

/* A process whose @n_threads threads do nothing but take time; it dies with
 * ours. To be called while ours has one thread. 0 is none, -1 a failure. */
static pid_t
start_busy (gint n_threads)
{
  pid_t parent = getpid (), pid = n_threads > 0 ? fork () : 0;

  if (n_threads == 0 || pid != 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)     /* which died before it was asked for */
    _exit (0);
  while (--n_threads > 0)
    g_thread_unref (g_thread_new ("busy", spin, NULL));
  spin (NULL);
  _exit (0);
}

static void
stop_busy (pid_t pid)
{
  if (pid > 0) {
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
  }
}

/* ---- measuring --------------------------------------------------------- */

/* A batch, which is one frame on the CPU; the last one is drawn. */
static gboolean
run_batch (Bench * bench, gdouble ms[N_STAGES], gdouble * submit_ms,
    GError ** error)
{
  gint n = bench->options->device ? MAX (bench->options->batch, 1) : 1;
  const CiInstance *instances;
  CiSessionTimes times;
  gint64 start = g_get_monotonic_time ();

  for (gint i = 0; i < n; i++)
    if (!ci_session_submit (bench->session, &bench->image, NULL,
            &bench->params, error))
      return FALSE;
  *submit_ms = (g_get_monotonic_time () - start) / 1e3 / n;
  for (gint i = 0; i < n; i++)
    if (!ci_session_collect (bench->session, &instances,
            &bench->n_instances, error))
      return FALSE;
  ci_session_get_times (bench->session, &times);
  ms[PREPROCESS] = times.preprocess_ns / 1e6 / n;
  ms[NETWORK] = times.network_ns / 1e6 / n;
  ms[DECODE] = times.decode_ns / 1e6 / n;
  ms[MASKS] = times.masks_ns / 1e6 / n;

  start = g_get_monotonic_time ();
  ci_draw_frame (bench->draw, &bench->frame, bench->model, instances,
      bench->n_instances);
  ms[OVERLAY] = (g_get_monotonic_time () - start) / 1e3;
  return TRUE;
}

/* Nothing is to be seen in the frame, but masks and drawing must cost what
 * they cost: lowers the threshold until there are @n objects, or no more than
 * before. */
static gboolean
find_threshold (Bench * bench, gint n, GError ** error)
{
  gdouble ms[N_STAGES], submit_ms;
  gfloat best = bench->params.inference_threshold;
  gint most = 0, tries = 0;

  bench->params.post_nms_top_k = MIN (bench->params.post_nms_top_k,
      MAX (n, 1));
  if (n == 0)
    bench->params.inference_threshold = 2;      /* nothing reaches it */
  while (tries++ < MAX_TRIES) {
    if (!run_batch (bench, ms, &submit_ms, error))
      return FALSE;
    if (bench->n_instances > most || tries == 1) {
      most = bench->n_instances;
      best = bench->params.inference_threshold;
      tries = 1;
    }
    if (most >= n)
      break;
    bench->params.inference_threshold /= 2;
  }
  bench->params.inference_threshold = best;
  return TRUE;
}

static gboolean
measure (Bench * bench, GError ** error)
{
  CiPool *pool = ci_pool_new (ci_cli_threads);
  gint64 start = g_get_monotonic_time ();
  gboolean ok = TRUE;
  guint i, s;

  for (i = 0; i < bench->n_rounds && ok; i++) {
    gdouble ms[N_STAGES], gflops;

    ci_cli_progress (i, bench->n_rounds, "rounds", start);
    /* By turns, as the machine may be faster at one time than at another. A
     * GPU would only fall asleep meanwhile. */
    if (!bench->options->device) {
      gflops = ci_cpu_sgemm_gflops (pool, SGEMM_SIZE, i ? 1 : 2);
      bench->sgemm_gflops = MAX (bench->sgemm_gflops, gflops);
    }
    ok = run_batch (bench, ms, &bench->submit_ms[i], error);
    for (s = 0; s < N_STAGES && ok; s++)
      bench->ms[s][i] = ms[s];
  }
  ci_cli_progress (bench->n_rounds, bench->n_rounds, "rounds", start);
  ci_pool_free (pool);
  return ok;
}

static gint
compare_doubles (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;

  return x < y ? -1 : x > y;
}

/* ---- output ------------------------------------------------------------ */

static gchar *
cpu_name (void)
{
  g_autofree gchar *text = NULL;
  const gchar *line, *end;

  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL)
      && (line = strstr (text, "model name")) && (line = strchr (line, ':'))) {
    line++;
    end = strchr (line, '\n');
    return g_strstrip (g_strndup (line, end ? (gsize) (end - line)
            : strlen (line)));
  }
  return g_strdup ("unknown CPU");
}

static void
add_number (JsonBuilder * builder, const gchar * name, gdouble value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

static void
add_string (JsonBuilder * builder, const gchar * name, const gchar * value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
add_size (JsonBuilder * builder, const gchar * name, gint width, gint height)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  json_builder_add_int_value (builder, width);
  json_builder_add_int_value (builder, height);
  json_builder_end_array (builder);
}

static void
add_stages (JsonBuilder * builder, const gchar * name, const gdouble * ms)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  for (gint s = 0; s < N_STAGES; s++) {
    g_autofree gchar *stage = g_strconcat (stage_names[s], "_ms", NULL);

    add_number (builder, stage, ms[s]);
  }
  json_builder_end_object (builder);
}

static void
print_results (Bench * bench, gboolean as_json)
{
  const CiSessionOptions *options = bench->options;
  const gchar *device = options->device ?
      ci_device_get_description (options->device) : NULL;
  const gchar *precision = device
      && options->precision == CI_PRECISION_FP16 ? "fp16" : "fp32";
  g_autofree gchar *cpu = cpu_name ();
  gdouble median[N_STAGES], best[N_STAGES], sum = 0;
  gdouble gflop = ci_session_get_gflop (bench->session), effective;
  gint width = GST_VIDEO_FRAME_WIDTH (&bench->frame);
  gint height = GST_VIDEO_FRAME_HEIGHT (&bench->frame);
  gint rw, rh, pw, ph, s, threads = ci_cli_threads;

  for (s = 0; s < N_STAGES; s++) {
    qsort (bench->ms[s], bench->n_rounds, sizeof (gdouble), compare_doubles);
    median[s] = bench->ms[s][bench->n_rounds / 2];
    best[s] = bench->ms[s][0];
    sum += median[s];
  }
  qsort (bench->submit_ms, bench->n_rounds, sizeof (gdouble),
      compare_doubles);
  effective = gflop / best[NETWORK] * 1e3;
  ci_session_get_input_size (bench->session, &rw, &rh, &pw, &ph);
  if (threads == 0)
    threads = g_get_num_processors ();

  if (as_json) {
    g_autoptr (JsonBuilder) builder = json_builder_new ();
    g_autoptr (JsonNode) root = NULL;

    json_builder_begin_object (builder);
    add_string (builder, "model", ci_model_get_name (bench->model));
    add_size (builder, "input", pw, ph);
    add_size (builder, "frame", width, height);
    json_builder_set_member_name (builder, "threads");
    json_builder_add_int_value (builder, threads);
    add_string (builder, "execution_provider", device ? "cuda" : "cpu");
    add_string (builder, "precision", precision);
    if (device) {
      add_string (builder, "device", device);
      json_builder_set_member_name (builder, "batch");
      json_builder_add_int_value (builder, MAX (options->batch, 1));
      add_number (builder, "submit_ms_median",
          bench->submit_ms[bench->n_rounds / 2]);
    }
    json_builder_set_member_name (builder, "busy");
    json_builder_add_int_value (builder, bench->n_busy);
    json_builder_set_member_name (builder, "iterations");
    json_builder_add_int_value (builder, bench->n_rounds);
    add_number (builder, "network_ms_min", best[NETWORK]);
    add_number (builder, "network_ms_median", median[NETWORK]);
    add_number (builder, "network_ms_p99",
        bench->ms[NETWORK][bench->n_rounds * 99 / 100]);
    add_number (builder, "gflop", gflop);
    add_number (builder, "effective_gflops", effective);
    if (!device) {
      add_number (builder, "sgemm_gflops", bench->sgemm_gflops);
      add_number (builder, "fraction_of_sgemm",
          effective / bench->sgemm_gflops);
    }
    json_builder_set_member_name (builder, "instances");
    json_builder_add_int_value (builder, bench->n_instances);
    add_stages (builder, "stages", median);
    add_stages (builder, "stages_min", best);
    add_number (builder, "frame_ms", sum);
    json_builder_set_member_name (builder, "machine");
    json_builder_begin_object (builder);
    add_string (builder, "cpu", cpu);
    json_builder_set_member_name (builder, "cores");
    json_builder_add_int_value (builder, g_get_num_processors ());
    add_number (builder, "load_average", bench->load_average);
    json_builder_end_object (builder);
    json_builder_end_object (builder);
    root = json_builder_get_root (builder);
    ci_json_write (root, NULL, NULL);
    return;
  }

  g_print ("%s, input %dx%d, frame %dx%d NV12, %d thread%s\n",
      ci_model_get_name (bench->model), pw, ph, width, height, threads,
      threads == 1 ? "" : "s");
  if (device)
    g_print ("%s, %s, batches of %d, %.3f ms to submit a frame\n", device,
        precision, MAX (options->batch, 1),
        bench->submit_ms[bench->n_rounds / 2]);
  g_print ("%s, %u cores, load average %.2f at the start", cpu,
      g_get_num_processors (), bench->load_average);
  if (bench->n_busy > 0)
    g_print (", then %d busy thread%s beside", bench->n_busy,
        bench->n_busy == 1 ? "" : "s");
  g_print ("\n\n");
  g_print ("network    %8.2f ms at best, %.2f ms median of %u\n",
      best[NETWORK], median[NETWORK], bench->n_rounds);
  g_print ("           %8.2f GFLOP, %.1f GFLOP/s", gflop, effective);
  if (!device)
    g_print (", %.0f %% of sgemm (%.1f GFLOP/s)",
        100 * effective / bench->sgemm_gflops, bench->sgemm_gflops);
  g_print ("\n\n");
  g_print ("a frame, with %d objects:\n", bench->n_instances);
  for (s = 0; s < N_STAGES; s++)
    g_print ("%-10s %8.2f ms median, %.2f ms at best\n", stage_names[s],
        median[s], best[s]);
  g_print ("%-10s %8.2f ms, %.1f frames/s\n", "sum", sum, 1000 / sum);
}

/* ---- command ----------------------------------------------------------- */

/* The frame's size if not given: for an input of 512x288 just 1280x720. */
static gboolean
choose_frame (const gchar * text, const CiSessionOptions * options,
    gint * width, gint * height)
{
  *width = 1280;
  *height = 720;
  if (options->input_width > 0) {
    *width = MAX (options->input_width * 5 / 2, 2);
    *height = MAX (options->input_height * 5 / 2, 2);
  }
  if (text && !ci_cli_parse_size (text, width, height)) {
    ci_cli_fail (CI_EXIT_USAGE, "\"%s\" is no size like 1280x720", text);
    return FALSE;
  }
  if (*width > MAX_SIDE || *height > MAX_SIDE) {
    ci_cli_fail (CI_EXIT_USAGE, "a frame of %dx%d is too large", *width,
        *height);
    return FALSE;
  }
  return TRUE;
}

static gint
bench_model (const gchar * spec, CiSessionOptions * options,
    gint width, gint height, gint n_instances, guint n_rounds, gint n_busy,
    gboolean as_json)
{
  g_autoptr (GError) error = NULL;
  Bench bench = {.options = options,.n_rounds = n_rounds,.n_busy = n_busy };
  CiImageFormat format;
  gint status = CI_EXIT_FAILED, s;
  pid_t busy;

  if (getloadavg (&bench.load_average, 1) < 1)
    bench.load_average = -1;
  busy = start_busy (n_busy);
  if (busy < 0)
    return ci_cli_fail (status, "cannot start the busy process");

  gst_init (NULL, NULL);
  bench.draw = gst_mask_draw_new ();
  for (s = 0; s < N_STAGES; s++)
    bench.ms[s] = g_new0 (gdouble, n_rounds);
  bench.submit_ms = g_new0 (gdouble, n_rounds);

  bench.model = ci_cli_load_model (spec, &error);
  if (bench.model)
    bench.session = ci_cli_new_session (bench.model, options, &error);
  if (bench.session && map_frame (&bench, width, height, &format, &error)) {
    if (ci_session_configure (bench.session, &format, &error)) {
      ci_session_get_detect_params (bench.session, &bench.params);
      if (find_threshold (&bench, n_instances, &error)
          && measure (&bench, &error)) {
        print_results (&bench, as_json);
        status = CI_EXIT_OK;
      }
    }
    gst_video_frame_unmap (&bench.frame);
  }
  if (error)
    ci_cli_fail (status, "%s", error->message);

  stop_busy (busy);
  g_clear_pointer (&bench.session, ci_session_free);
  g_clear_pointer (&bench.model, ci_model_unref);
  gst_mask_draw_free (bench.draw);
  for (s = 0; s < N_STAGES; s++)
    g_free (bench.ms[s]);
  g_free (bench.submit_ms);
  return status;
}

gint
ci_cmd_bench (gint argc, gchar ** argv)
{
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  g_autofree gchar *size = NULL, *frame = NULL;
  gint width, height, n_rounds = DEFAULT_ROUNDS, n_instances = 10, n_busy = 0;
  gboolean as_json = FALSE;
  const GOptionEntry entries[] = {
    {"size", 0, 0, G_OPTION_ARG_STRING, &size,
        "Size of the network's input (default: the model's)", "WxH"},
    {"frame", 0, 0, G_OPTION_ARG_STRING, &frame,
        "Size of the frame (default: 2.5 times --size, else 1280x720)",
        "WxH"},
    CI_CLI_MODEL_ENTRIES,
    CI_CLI_THREADS_ENTRY,
    CI_CLI_DEVICE_ENTRIES,
    CI_CLI_METHOD_ENTRIES,
    {"batch", 0, 0, G_OPTION_ARG_INT, &options.batch,
        "Frames that a GPU computes together, 1 to 32 (default: 1)", "N"},
    {"iterations", 'n', 0, G_OPTION_ARG_INT, &n_rounds,
        "Frames, or batches of them, to measure (default: 20)", "N"},
    {"instances", 0, 0, G_OPTION_ARG_INT, &n_instances,
        "Objects to find and draw in each (default: 10)", "N"},
    {"busy", 0, 0, G_OPTION_ARG_INT, &n_busy,
        "Threads of another process that keep cores busy (default: 0)", "N"},
    {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print JSON", NULL},
    {NULL}
  };
  const CiCliUsage usage = { "MODEL",
    "Measures the network beside the best matrix product (sgemm) that the\n"
        "machine does by turns with it, and all stages of a made-up NV12\n"
        "frame, its drawing included.", entries, 1, 1
  };

  if (!ci_cli_parse (&usage, &argc, &argv)
      || !ci_cli_session_options (size, &options)
      || !choose_frame (frame, &options, &width, &height))
    return CI_EXIT_USAGE;
  if (n_rounds < 1 || n_rounds > 1000000 || n_instances < 0
      || n_busy < 0 || n_busy > MAX_BUSY)
    return ci_cli_fail (CI_EXIT_USAGE, "--iterations must be 1 to 1000000, "
        "--instances not negative, --busy 0 to %d", MAX_BUSY);
  return bench_model (argv[1], &options, width, height, n_instances, n_rounds,
      n_busy, as_json);
}
