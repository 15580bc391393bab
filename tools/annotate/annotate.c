/*
 * annotate.c: finds and draws the objects in a video, for tools/demo
 *
 * IN -> decode -> condinstseg -> maskoverlay -> encode -> OUT, or a camera to
 * the screen. OUT appears when it is complete; until then it is OUT.part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <gst/instancemask/instancemask.h>
#include <gst/pbutils/pbutils.h>

#include "containers.h"

/* Seconds between two lines of progress: on a terminal, elsewhere. */
#define TERMINAL_PERIOD 0.5
#define LOG_PERIOD 15

typedef struct
{
  guint instances, frames, most;        /* most in one frame */
} Count;

typedef struct
{
  GstElement *pipeline;
  GMainLoop *loop;
  GPtrArray *ends;              /* where end of stream goes in if interrupted */
  const Container *container;   /* NULL: to the screen */
  gchar *audio;                 /* what becomes of the sound; NULL: none yet */
  GstElement *video_bin;
  GThread *finisher;            /* sends end of stream; NULL: not interrupted */
  gboolean failed, interrupted, has_video;
  gboolean terminal, line_open;
  gdouble last_line;

  GMutex lock;                  /* what the streaming thread counts */
  guint frames;
  gint64 first_us, last_us;
  GstClockTime position;
  GHashTable *counts;           /* label -> Count */
} Annotate;

static gboolean camera;
static gchar *device;
static gchar **seg_settings, **overlay_settings;
static const GOptionEntry entries[] = {
  {"camera", 0, 0, G_OPTION_ARG_NONE, &camera,
      "Show a camera's pictures instead", NULL},
  {"device", 0, 0, G_OPTION_ARG_FILENAME, &device,
      "The camera (default: /dev/video0)", "PATH"},
  {"seg", 's', 0, G_OPTION_ARG_STRING_ARRAY, &seg_settings,
      "Set a property of condinstseg; may be repeated", "NAME=VALUE"},
  {"overlay", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &overlay_settings,
      "Set a property of maskoverlay; may be repeated", "NAME=VALUE"},
  {NULL}
};

/* ---- messages ---------------------------------------------------------- */

static void
end_line (Annotate * self)
{
  if (self->line_open)
    fputs ("\r\033[K", stderr);
  self->line_open = FALSE;
}

static void G_GNUC_PRINTF (2, 3)
fail (Annotate * self, const gchar * format, ...)
{
  va_list args;

  end_line (self);
  if (!self->failed) {          /* what follows the first error is noise */
    fputs ("condinst-annotate: ", stderr);
    va_start (args, format);
    vfprintf (stderr, format, args);
    va_end (args);
    fputc ('\n', stderr);
  }
  self->failed = TRUE;
  if (self->loop)
    g_main_loop_quit (self->loop);
}

static gboolean
show_progress (gpointer data)
{
  Annotate *self = data;
  gdouble now = g_get_monotonic_time () / 1e6, seconds, fps;
  gint64 duration = -1;
  guint frames;
  GstClockTime position;

  /* an error before the loop ran could not end it */
  if (self->failed) {
    g_main_loop_quit (self->loop);
    return G_SOURCE_CONTINUE;
  }
  g_mutex_lock (&self->lock);
  frames = self->frames;
  position = self->position;
  seconds = (self->last_us - self->first_us) / 1e6;
  g_mutex_unlock (&self->lock);
  if (frames < 2
      || now - self->last_line < (self->terminal ? TERMINAL_PERIOD :
          LOG_PERIOD))
    return G_SOURCE_CONTINUE;
  self->last_line = now;

  fps = (frames - 1) / MAX (seconds, 1e-6);
  end_line (self);
  fprintf (stderr, "%u", frames);
  if (self->container && position > 0
      && gst_pad_peer_query_duration (g_ptr_array_index (self->ends, 0),
          GST_FORMAT_TIME, &duration) && duration >= (gint64) position) {
    gdouble left = seconds / position * (duration - position);

    fprintf (stderr, "/%u frames, %.1f fps, %d:%02d left",
        (guint) ((gdouble) frames / position * duration + 0.5), fps,
        (gint) left / 60, (gint) left % 60);
  } else {
    fprintf (stderr, " frames, %.1f fps", fps);
  }
  if (!self->terminal)
    fputc ('\n', stderr);
  self->line_open = self->terminal;
  fflush (stderr);
  return G_SOURCE_CONTINUE;
}

static gint
by_instances (gconstpointer a, gconstpointer b, gpointer counts)
{
  const Count *ca = g_hash_table_lookup (counts, *(const gchar **) a);
  const Count *cb = g_hash_table_lookup (counts, *(const gchar **) b);

  return cb->instances < ca->instances ? -1 : cb->instances > ca->instances;
}

static void
print_summary (Annotate * self, const gchar * out)
{
  g_autofree gpointer *labels = NULL;
  gdouble seconds = (self->last_us - self->first_us) / 1e6;
  guint n, i;

  end_line (self);
  g_print ("%u frames", self->frames);
  if (self->frames > 1 && seconds > 0)
    g_print (", %.1f fps on average", (self->frames - 1) / seconds);
  g_print ("\n");
  labels = g_hash_table_get_keys_as_array (self->counts, &n);
  g_qsort_with_data (labels, n, sizeof (gpointer), by_instances, self->counts);
  if (n == 0)
    g_print ("nothing found\n");
  for (i = 0; i < n; i++) {
    const Count *count = g_hash_table_lookup (self->counts, labels[i]);

    g_print ("%-14s %6u in %u frames, at most %u at once\n",
        (const gchar *) labels[i], count->instances, count->frames,
        count->most);
  }
  if (self->audio)
    g_print ("sound: %s\n", self->audio);
  if (out)
    g_print ("%s\n", out);
}

/* ---- counting ---------------------------------------------------------- */

static GstPadProbeReturn
count_frame (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Annotate *self = data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buffer);
  g_autoptr (GHashTable) here = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer label, n;
  guint i;

  for (i = 0; meta && i < gst_instance_mask_meta_get_n_instances (meta); i++) {
    const gchar *name = gst_instance_mask_get_label (
        gst_instance_mask_meta_get_instance (meta, i));

    if (!name)
      name = "object";
    n = g_hash_table_lookup (here, name);
    g_hash_table_insert (here, (gpointer) name,
        GUINT_TO_POINTER (GPOINTER_TO_UINT (n) + 1));
  }

  g_mutex_lock (&self->lock);
  self->last_us = g_get_monotonic_time ();
  if (self->frames++ == 0)
    self->first_us = self->last_us;
  if (GST_BUFFER_PTS_IS_VALID (buffer))
    self->position = GST_BUFFER_PTS (buffer);
  g_hash_table_iter_init (&iter, here);
  while (g_hash_table_iter_next (&iter, &label, &n)) {
    Count *count = g_hash_table_lookup (self->counts, label);

    if (!count) {
      count = g_new0 (Count, 1);
      g_hash_table_insert (self->counts, g_strdup (label), count);
    }
    count->instances += GPOINTER_TO_UINT (n);
    count->frames++;
    count->most = MAX (count->most, GPOINTER_TO_UINT (n));
  }
  g_mutex_unlock (&self->lock);
  return GST_PAD_PROBE_OK;
}

/* ---- pipelines --------------------------------------------------------- */

static gboolean
apply_settings (Annotate * self, GstElement * element, gchar ** settings)
{
  g_autofree gchar *name = gst_object_get_name (GST_OBJECT (
          gst_element_get_factory (element)));

  for (; settings && *settings; settings++) {
    g_auto (GStrv) pair = g_strsplit (*settings, "=", 2);
    GParamSpec *pspec = pair[0] ? g_object_class_find_property (
        G_OBJECT_GET_CLASS (element), pair[0]) : NULL;
    GValue value = G_VALUE_INIT;
    gboolean valid;

    if (!pair[0] || !pair[1]) {
      fail (self, "\"%s\" is not NAME=VALUE", *settings);
      return FALSE;
    }
    if (!pspec) {
      fail (self, "%s has no property \"%s\"; gst-inspect-1.0 %s lists them",
          name, pair[0], name);
      return FALSE;
    }
    g_value_init (&value, pspec->value_type);
    valid = gst_value_deserialize_with_pspec (&value, pair[1], pspec);
    if (valid)
      g_object_set_property (G_OBJECT (element), pair[0], &value);
    g_value_unset (&value);
    if (!valid) {
      fail (self, "\"%s\" is no value for %s of %s", pair[1], pair[0], name);
      return FALSE;
    }
  }
  return TRUE;
}

/* A bin from a description, with its free ends as pads; NULL: it failed. */
static GstElement *
make_bin (Annotate * self, const gchar * description)
{
  g_autoptr (GError) error = NULL;
  GstElement *bin = gst_parse_bin_from_description_full (description, TRUE,
      NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);

  if (!bin)
    fail (self, "%s", error->message);
  return bin;
}

/* What looks and draws; the same for files and cameras. */
static GstElement *
make_segmentation (Annotate * self, const gchar * before, const gchar * after)
{
  g_autofree gchar *description = g_strdup_printf ("%s ! videoconvert "
      "! condinstseg name=seg ! maskoverlay name=overlay ! queue "
      "max-size-bytes=0 max-size-time=0 max-size-buffers=4 name=queue "
      "! videoconvert ! %s", before, after);
  GstElement *bin = make_bin (self, description);
  g_autoptr (GstElement) seg = NULL, overlay = NULL, queue = NULL;
  g_autoptr (GstPad) pad = NULL;

  if (!bin)
    return NULL;
  seg = gst_bin_get_by_name (GST_BIN (bin), "seg");
  overlay = gst_bin_get_by_name (GST_BIN (bin), "overlay");
  queue = gst_bin_get_by_name (GST_BIN (bin), "queue");
  if (!apply_settings (self, seg, seg_settings)
      || !apply_settings (self, overlay, overlay_settings)) {
    gst_object_unref (bin);
    return NULL;
  }
  pad = gst_element_get_static_pad (overlay, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_frame, self, NULL);
  g_ptr_array_add (self->ends, gst_element_get_static_pad (queue, "sink"));
  return bin;
}

/* Links a decoded stream through @bin to the muxer. */
static void
add_stream (Annotate * self, GstPad * pad, GstElement * bin,
    const gchar * mux_pad)
{
  g_autoptr (GstElement) mux = gst_bin_get_by_name (GST_BIN (self->pipeline),
      "mux");
  g_autoptr (GstPad) sink = NULL;

  gst_bin_add (GST_BIN (self->pipeline), bin);
  sink = gst_element_get_static_pad (bin, "sink");
  if (!gst_element_link_pads (bin, "src", mux, mux_pad)
      || GST_PAD_LINK_FAILED (gst_pad_link (pad, sink)))
    fail (self, "the streams do not fit into the file");
  gst_element_sync_state_with_parent (bin);
}

static void
add_audio (Annotate * self, GstPad * pad, gboolean raw)
{
  const gchar *encoder = containers_find_encoder (self->container->audio);
  g_autofree gchar *description = NULL;
  GstElement *bin;
  g_autoptr (GstElement) queue = NULL;

  if (raw && !encoder) {
    self->audio = g_strdup_printf ("left out (no encoder for .%s installed)",
        self->container->extension);
    return;
  }
  description = g_strdup_printf ("queue max-size-bytes=0 max-size-time=0 "
      "max-size-buffers=0 name=queue %s%s", raw
      ? "! audioconvert ! audioresample ! " : "", raw ? encoder : "");
  bin = make_bin (self, description);
  if (!bin)
    return;
  queue = gst_bin_get_by_name (GST_BIN (bin), "queue");
  g_ptr_array_add (self->ends, gst_element_get_static_pad (queue, "sink"));
  self->audio = raw ? g_strdup_printf ("encoded by %s", encoder)
      : g_strdup ("taken over as it is");
  add_stream (self, pad, bin, "audio_%u");
}

static void
pad_added (GstElement * source, GstPad * pad, gpointer data)
{
  Annotate *self = data;
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  const gchar *name;

  if (!caps)
    caps = gst_pad_query_caps (pad, NULL);
  name = gst_structure_get_name (gst_caps_get_structure (caps, 0));
  if (g_str_has_prefix (name, "video/x-raw") && !self->has_video) {
    self->has_video = TRUE;
    add_stream (self, pad, self->video_bin, "video_%u");
  } else if (g_str_has_prefix (name, "audio/") && !self->audio) {
    add_audio (self, pad, g_str_has_prefix (name, "audio/x-raw"));
  }
}

static void
no_more_pads (GstElement * source, gpointer data)
{
  Annotate *self = data;

  if (!self->has_video)
    fail (self, "there is no video in the input");
}

/* Sound that the file can hold as it is need not be decoded. */
static gboolean
keep_decoding (GstElement * source, GstPad * pad, GstCaps * caps,
    gpointer data)
{
  Annotate *self = data;

  return !containers_take_audio (self->container, caps);
}

static gboolean
build_for_file (Annotate * self, const gchar * uri, const gchar * path)
{
  const gchar *video = containers_find_encoder (self->container->video);
  g_autofree gchar *encode = NULL, *name = NULL;
  GstElement *source, *mux, *sink;

  if (!video) {
    g_autofree gchar *names = containers_encoder_names (self->container->video);

    fail (self, "no video encoder for .%s is installed; any of these would do: "
        "%s", self->container->extension, names);
    return FALSE;
  }
  /* What every player can show: upright, 4:2:0, which wants even sizes */
  encode = g_strdup_printf ("videoscale ! video/x-raw, format=I420, "
      "width=[2,32766,2], height=[2,32766,2] ! %s", video);
  self->video_bin = make_segmentation (self,
      "videoconvert ! videoflip video-direction=auto", encode);
  if (!self->video_bin)
    return FALSE;
  gst_object_ref_sink (self->video_bin);

  source = gst_element_factory_make ("uridecodebin", "source");
  mux = gst_element_factory_make (self->container->muxer, "mux");
  sink = gst_element_factory_make ("filesink", "sink");
  if (!source || !mux || !sink) {
    fail (self, "GStreamer's %s is not installed",
        !source ? "uridecodebin" : !mux ? self->container->muxer : "filesink");
    g_clear_object (&source);
    g_clear_object (&mux);
    g_clear_object (&sink);
    return FALSE;
  }
  g_object_set (source, "uri", uri, NULL);
  g_object_set (sink, "location", path, NULL);
  gst_bin_add_many (GST_BIN (self->pipeline), source, mux, sink, NULL);
  gst_element_link (mux, sink);
  g_signal_connect (source, "autoplug-continue", G_CALLBACK (keep_decoding),
      self);
  g_signal_connect (source, "pad-added", G_CALLBACK (pad_added), self);
  g_signal_connect (source, "no-more-pads", G_CALLBACK (no_more_pads), self);
  name = containers_encoder_name (video);
  g_print ("encoder: %s\n", name);
  return TRUE;
}

static gboolean
build_for_camera (Annotate * self)
{
  const gchar *path = device ? device : "/dev/video0";
  g_autofree gchar *before = NULL;
  GstElement *bin;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    fail (self, "there is no camera %s; --device names another one", path);
    return FALSE;
  }
  /* The newest frame only, or pictures lag behind. */
  before = g_strdup_printf ("v4l2src device=\"%s\" ! decodebin ! queue "
      "leaky=downstream max-size-buffers=1", path);
  bin = make_segmentation (self, before, "autovideosink");
  if (!bin)
    return FALSE;
  gst_bin_add (GST_BIN (self->pipeline), bin);
  return TRUE;
}

/* ---- running ----------------------------------------------------------- */

/* The kind of element that posted @message, as users know it. */
static const gchar *
source_name (GstMessage * message)
{
  GstObject *source = GST_MESSAGE_SRC (message);
  GstElementFactory *factory = GST_IS_ELEMENT (source)
      ? gst_element_get_factory (GST_ELEMENT (source)) : NULL;

  return GST_OBJECT_NAME (factory ? GST_OBJECT (factory) : source);
}

static void
report_error (Annotate * self, GstMessage * message)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL;
  const gchar *detail;

  gst_message_parse_error (message, &error, &debug);
  /* The last line says why; those before are places in the source. */
  detail = debug ? strrchr (debug, '\n') : NULL;
  fail (self, "%s: %s%s%s", source_name (message), error->message,
      detail ? "\n  " : "", detail ? detail + 1 : "");
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer data)
{
  Annotate *self = data;

  if (gst_is_missing_plugin_message (message)) {
    g_autofree gchar *what =
        gst_missing_plugin_message_get_description (message);

    end_line (self);
    g_printerr ("GStreamer lacks a plugin: %s. Debian has more in the packages "
        "gstreamer1.0-plugins-bad and gstreamer1.0-libav.\n", what);
    return G_SOURCE_CONTINUE;
  }
  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_EOS:
      g_main_loop_quit (self->loop);
      break;
    case GST_MESSAGE_ERROR:
      report_error (self, message);
      break;
    case GST_MESSAGE_WARNING:{
      g_autoptr (GError) error = NULL;

      gst_message_parse_warning (message, &error, NULL);
      end_line (self);
      g_printerr ("%s: %s\n", source_name (message), error->message);
      break;
    }
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

static void
send_eos (gpointer pad, gpointer unused)
{
  gst_pad_send_event (pad, gst_event_new_eos ());
}

/* Waits for frames under way, so apart from the main loop. */
static gpointer
finish_streams (gpointer data)
{
  Annotate *self = data;

  g_ptr_array_foreach (self->ends, send_eos, NULL);
  return NULL;
}

/* What was encoded so far becomes a whole file; a second signal gives up. */
static gboolean
on_interrupt (gpointer data)
{
  Annotate *self = data;

  if (self->interrupted) {
    g_main_loop_quit (self->loop);
    fail (self, "given up");
    return G_SOURCE_CONTINUE;
  }
  end_line (self);
  self->interrupted = TRUE;
  if (!self->container || self->frames == 0) {
    g_main_loop_quit (self->loop);
  } else {
    g_printerr ("finishing the file; once more to give up\n");
    self->finisher = g_thread_new ("finish", finish_streams, self);
  }
  return G_SOURCE_CONTINUE;
}

static void
run (Annotate * self)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (self->pipeline);
  guint watch = gst_bus_add_watch (bus, on_message, self);
  guint timer = g_timeout_add (250, show_progress, self);
  const gint signals[] = { SIGINT, SIGTERM, SIGHUP };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (signals); i++)
    g_unix_signal_add (signals[i], on_interrupt, self);
  self->terminal = isatty (STDERR_FILENO);
  self->last_line = g_get_monotonic_time () / 1e6;
  /* Failures come as messages. */
  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
  if (!self->failed)
    g_main_loop_run (self->loop);
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  if (self->finisher)
    g_thread_join (self->finisher);
  g_source_remove (timer);
  g_source_remove (watch);
}

/* Whether @out can become a file that is not @in; creates @part. */
static gboolean
check_output (Annotate * self, const gchar * in, const gchar * out,
    const gchar * part)
{
  GStatBuf in_stat, out_stat;
  FILE *file;

  if (g_stat (out, &out_stat) == 0) {
    if (!S_ISREG (out_stat.st_mode)) {
      fail (self, "%s is not a file", out);
      return FALSE;
    }
    if (g_stat (in, &in_stat) == 0 && in_stat.st_dev == out_stat.st_dev
        && in_stat.st_ino == out_stat.st_ino) {
      fail (self, "%s cannot be both the input and the output", out);
      return FALSE;
    }
  }
  if (!(file = g_fopen (part, "wb"))) {
    fail (self, "cannot write %s: %s", part, g_strerror (errno));
    return FALSE;
  }
  fclose (file);
  return TRUE;
}

static void
annotate_file (Annotate * self, const gchar * in, const gchar * out)
{
  g_autofree gchar *part = g_strconcat (out, ".part", NULL);
  g_autofree gchar *uri = NULL;
  g_autoptr (GError) error = NULL;

  if (!(self->container = containers_find (out))) {
    g_autofree gchar *all = containers_list ();

    fail (self, "%s: unknown kind of file; known are %s", out, all);
    return;
  }
  if (gst_uri_is_valid (in)) {
    uri = g_strdup (in);
  } else if (!g_file_test (in, G_FILE_TEST_IS_REGULAR)) {
    fail (self, "%s: %s", in, g_file_test (in, G_FILE_TEST_EXISTS)
        ? "is not a file" : "there is no such file");
    return;
  } else if (!(uri = gst_filename_to_uri (in, &error))) {
    fail (self, "%s", error->message);
    return;
  }
  if (!check_output (self, in, out, part))
    return;
  if (build_for_file (self, uri, part))
    run (self);
  if (!self->failed && self->frames == 0)
    fail (self, self->interrupted ? "stopped before the first frame"
        : "%s has no frame that could be decoded", in);
  if (!self->failed && g_rename (part, out) != 0)
    fail (self, "cannot rename %s to %s: %s", part, out, g_strerror (errno));
  if (self->failed)
    g_unlink (part);
  else
    print_summary (self, out);
}

int
main (int argc, char **argv)
{
  Annotate self = { 0 };
  g_autoptr (GOptionContext) context = g_option_context_new ("IN OUT");
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  g_set_prgname ("condinst-annotate");
  g_option_context_set_summary (context, "Finds the objects in the video IN "
      "(a file or a URI) and writes it to OUT with\ntheir masks drawn.");
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_group (context, gst_init_get_option_group ());
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    g_printerr ("condinst-annotate: %s\n", error->message);
    return 2;
  }
  if (argc != (camera ? 1 : 3)) {
    g_printerr ("condinst-annotate: expected %s; see --help\n",
        camera ? "nothing beside --camera" : "IN and OUT");
    return 2;
  }

  gst_pb_utils_init ();
  g_mutex_init (&self.lock);
  self.loop = g_main_loop_new (NULL, FALSE);
  self.ends = g_ptr_array_new_with_free_func (gst_object_unref);
  self.counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self.pipeline = gst_pipeline_new ("annotate");
  if (!camera) {
    annotate_file (&self, argv[1], argv[2]);
  } else if (build_for_camera (&self)) {
    run (&self);
    if (!self.failed)
      print_summary (&self, NULL);
  }

  g_clear_object (&self.video_bin);
  gst_object_unref (self.pipeline);
  g_hash_table_unref (self.counts);
  g_ptr_array_unref (self.ends);
  g_main_loop_unref (self.loop);
  g_free (self.audio);
  g_mutex_clear (&self.lock);
  return self.failed ? 1 : 0;
}
