/*
 * kernel_detect.h: what a thread computes of FCOS' candidates, top-k, NMS
 * (SEMANTICS 5 and 6) and of what is evaluated at detections only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_DETECT_H
#define CI_KERNEL_DETECT_H

#include "hostdev.h"

/* What a frame brings: uploaded before anything else runs, read by kernels. */
#define CI_MAX_CLASSES 4096

typedef struct
{
  /* of CiDetectParams */
  float inference_threshold;
  int32_t pre_nms_top_k, post_nms_top_k;
  int32_t has_classes;
  double nms_threshold, cross_class_threshold;
  uint8_t classes[CI_MAX_CLASSES];      /* wanted ones, if has_classes */

  /* the frame's planes, on the device, and where results go (pinned memory of
   * the host) */
  const uint8_t *planes[3];
  int32_t strides[3];
  void *results;
} CiFrameSettings;

/* A list of detections on the device: arrays of capacity entries. */
typedef struct
{
  int32_t capacity;
  int32_t *count;
  float *boxes, *scores, *locations;
  int32_t *classes, *levels, *cells;
} CiDeviceDetections;

#define CI_DETECT_KERNELS(ELEMENT, BLOCK)

#endif /* CI_KERNEL_DETECT_H */
