/*
 * coco.h: the names of COCO's 80 "thing" classes, in ascending category id;
 * private to models/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_COCO_H
#define CI_COCO_H

#define CI_COCO_N_CLASSES 80
/** Category ids are from 1 to this, but for these. */
#define CI_COCO_MAX_ID 90
#define CI_COCO_UNUSED_IDS 12, 26, 29, 30, 45, 66, 68, 69, 71, 83
/** The names as the elements of a JSON array. */
#define CI_COCO_CLASSES "\"person\",\"bicycle\",\"car\",\"motorcycle\"," \
    "\"airplane\",\"bus\",\"train\",\"truck\",\"boat\",\"traffic light\"," \
    "\"fire hydrant\",\"stop sign\",\"parking meter\",\"bench\",\"bird\"," \
    "\"cat\",\"dog\",\"horse\",\"sheep\",\"cow\",\"elephant\",\"bear\"," \
    "\"zebra\",\"giraffe\",\"backpack\",\"umbrella\",\"handbag\",\"tie\"," \
    "\"suitcase\",\"frisbee\",\"skis\",\"snowboard\",\"sports ball\"," \
    "\"kite\",\"baseball bat\",\"baseball glove\",\"skateboard\"," \
    "\"surfboard\",\"tennis racket\",\"bottle\",\"wine glass\",\"cup\"," \
    "\"fork\",\"knife\",\"spoon\",\"bowl\",\"banana\",\"apple\"," \
    "\"sandwich\",\"orange\",\"broccoli\",\"carrot\",\"hot dog\",\"pizza\"," \
    "\"donut\",\"cake\",\"chair\",\"couch\",\"potted plant\",\"bed\"," \
    "\"dining table\",\"toilet\",\"tv\",\"laptop\",\"mouse\",\"remote\"," \
    "\"keyboard\",\"cell phone\",\"microwave\",\"oven\",\"toaster\"," \
    "\"sink\",\"refrigerator\",\"book\",\"clock\",\"vase\",\"scissors\"," \
    "\"teddy bear\",\"hair drier\",\"toothbrush\""

#endif /* CI_COCO_H */
