/*
 * method.h: the methods; private to models/. A method is one file that has its
 * part of a description, its recognition and its graph; what several use is in
 * blocks.h. docs/adding-a-method.md leads through one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_METHOD_H
#define CI_METHOD_H

#include "reader.h"
#include "section.h"

G_BEGIN_DECLS

/** How a network is built; not part of its description. */
typedef struct
{
  gint capacity;                /* of the list of detections */
  gboolean full_map;            /* masks of the whole map, not in boxes only */
  gboolean dense_top;           /* what is evaluated at the detections only,
                                   everywhere as well (for dumps) */
  gint mask_resolution;         /* one of the method's; 0: as described */
} CiBuildOptions;

typedef struct
{
  const gchar *name;            /* `architecture` in descriptions */
  const gchar *title;           /* for messages */
  const gchar *signature;       /* a tensor that no method before it in
                                   ci_methods has; several separated by blanks:
                                   any of them */
  /* Fills reader->config and reader->facts with what the tensors tell, and with
   * what the official code does by default else. */
  gboolean (*recognise) (const CiReader *reader);
  /* The method's sections of a description. The other ones have been read but
   * for `inference` and `classes`. */
  void (*read) (const CiSection *root, CiConfig *config);
  void (*write) (GString *out, const CiConfig *config);
  /* All that follows the input; the masks, or else the detections, are the last
   * node. */
  void (*build) (CiGraph *graph, CiValue input, const CiConfig *config,
      const CiBuildOptions *options);
  /* What users can choose among; 0 ends a list. NULL: greedy NMS; masks as the
   * network has them. */
  const gint *nms;              /* CiNms */
  const gint *mask_resolutions;
} CiMethod;

extern const CiMethod ci_method_condinst, ci_method_blendmask, ci_method_fcos,
    ci_method_yolact, ci_method_solo, ci_method_decoupled_solo,
    ci_method_solov2, ci_method_pointrend, ci_method_maskrcnn;

/* By CiArchitecture; recognition tries them in this order. */
extern const CiMethod *const ci_methods[CI_N_ARCHITECTURES];

/** The network that @config describes. @options NULL: as many detections as it
 * says, masks in boxes. */
CiGraph *ci_network_build (const CiConfig * config,
    const CiBuildOptions * options);

/* pyramid.c: FCOS' necks. */
void ci_pyramid_read (const CiSection * root, CiConfig * config);
void ci_pyramid_write (GString * out, const CiConfig * config);
/* fcos.c: of the methods behind an FCOS head. */
gboolean ci_fcos_recognise (const CiReader * reader);
void ci_fcos_read (const CiSection * root, CiConfig * config);
void ci_fcos_write (GString * out, const CiConfig * config);
/* rcnn.c: of Faster R-CNN with a feature pyramid, on which two-stage methods
 * build their masks: all up to the detections. @pyramid gets P2 to P5. */
gboolean ci_rcnn_recognise (const CiReader * reader);
void ci_rcnn_read (const CiSection * root, CiConfig * config);
void ci_rcnn_write (GString * out, const CiConfig * config);
CiValue ci_rcnn_build (CiGraph * graph, CiValue input,
    const CiConfig * config, gint capacity, CiValue pyramid[4]);
/* A 3x3 convolution `@conv` of a head over items with its norm and a ReLU. */
CiValue ci_rcnn_conv (CiGraph * graph, const CiConfig * config, CiValue src,
    const gchar * conv, CiNorm norm, gint channels);
/* The norm behind the convolution @conv of a head; free with g_free. */
gchar *ci_rcnn_norm_name (const CiConfig * config, const gchar * conv);
/* Its RoIAlign of @boxes, @resolution bins a side. */
CiValue ci_rcnn_roi_align (CiGraph * graph, const CiConfig * config,
    const CiValue pyramid[4], CiValue boxes, gint resolution);

G_END_DECLS

#endif /* CI_METHOD_H */
