/* GStreamer instance segmentation
 *
 * inspect.c: what gst-inspect-1.0 says about our elements is complete and true
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>

static void
check_property (GstElement * element, GParamSpec * spec)
{
  const gchar *name = g_type_name (G_OBJECT_TYPE (element));
  const gchar *blurb = g_param_spec_get_blurb (spec);
  GValue value = G_VALUE_INIT;

  fail_unless (blurb != NULL && *blurb != '\0', "%s:%s has no description",
      name, spec->name);
  fail_unless (g_param_spec_get_nick (spec)[0] != '\0');
  for (const gchar * c = spec->name; *c; c++)
    fail_unless (g_ascii_islower (*c) || g_ascii_isdigit (*c) || *c == '-',
        "%s:%s is not in lower-case-with-hyphens", name, spec->name);

  if (G_IS_PARAM_SPEC_ENUM (spec)) {
    GEnumClass *values = G_PARAM_SPEC_ENUM (spec)->enum_class;

    for (guint i = 0; i < values->n_values; i++)
      fail_if (g_str_equal (values->values[i].value_name,
              values->values[i].value_nick),
          "%s:%s value %s has no description", name, spec->name,
          values->values[i].value_nick);
  }

  if (!(spec->flags & G_PARAM_READABLE) || !(spec->flags & G_PARAM_WRITABLE))
    return;
  g_value_init (&value, spec->value_type);
  g_object_get_property (G_OBJECT (element), spec->name, &value);
  fail_unless (g_param_values_cmp (spec, &value,
          g_param_spec_get_default_value (spec)) == 0,
      "%s:%s does not start at its default", name, spec->name);
  /* takes back what it gave */
  g_object_set_property (G_OBJECT (element), spec->name, &value);
  g_value_unset (&value);
}

GST_START_TEST (test_elements)
{
  GList *features = gst_registry_get_feature_list_by_plugin
      (gst_registry_get (), "condinst");

  fail_unless (features != NULL, "the plugin is not there");
  for (GList * l = features; l; l = l->next) {
    GstElementFactory *factory = GST_ELEMENT_FACTORY (l->data);
    GstElement *element = gst_element_factory_create (factory, NULL);
    GParamSpec **specs;
    guint n;

    fail_unless (element != NULL);
    fail_unless_equals_int (gst_plugin_feature_get_rank (l->data),
        GST_RANK_NONE);
    fail_unless (g_str_has_prefix (gst_element_factory_get_metadata (factory,
                GST_ELEMENT_METADATA_KLASS), "Filter/"));
    specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);
    for (guint i = 0; i < n; i++)
      if (specs[i]->owner_type == G_OBJECT_TYPE (element))
        check_property (element, specs[i]);
    g_free (specs);
    gst_object_unref (element);
  }
  gst_plugin_feature_list_free (features);
}

GST_END_TEST;

/* whether or not an element has made one yet */
GST_START_TEST (test_metadata_is_known)
{
  GstPlugin *plugin = gst_plugin_load_by_name ("condinst");

  fail_unless (plugin != NULL);
  fail_unless (gst_meta_get_info ("GstInstanceMaskMeta") != NULL);
  gst_object_unref (plugin);
}

GST_END_TEST;

static Suite *
inspect_suite (void)
{
  Suite *s = suite_create ("inspect");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_elements);
  tcase_add_test (tc, test_metadata_is_known);
  return s;
}

GST_CHECK_MAIN (inspect);
