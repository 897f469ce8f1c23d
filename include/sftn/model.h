/*
 * model.h: networks as stem, stages, head, so that a student can be entered after any stage.
 */
#ifndef SFTN_MODEL_H
#define SFTN_MODEL_H

#include "sftn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SFTN_MAX_STAGES = 6, SFTN_MAX_TAPS = 2 * SFTN_MAX_STAGES + 4 };

/* What a stage publishes.  preact may be SFTN_NONE where a family has none. */
typedef struct sftn_tap {
    sftn_value feature; /* the stage's output, as the next stage reads it */
    sftn_value preact;  /* the same before its last activation */
    sftn_affine norm;   /* of the last batch norm before that activation; SFTN_NONE: none */
} sftn_tap;

/* Everything a network publishes.  Taps that nobody uses are pruned from the plan. */
typedef struct sftn_taps {
    sftn_tap stem;
    int nstages;
    sftn_tap stage[SFTN_MAX_STAGES]; /* stage[0] is the first stage after the stem */
    sftn_value pooled;               /* [N,F,1,1] */
    sftn_value logits;               /* [N,classes,1,1], wide */
} sftn_taps;

typedef struct sftn_model {
    char name[32];     /* "resnet20" */
    char summary[128]; /* "CIFAR residual network, depth 20" */
    int nstages;
    int channels[SFTN_MAX_STAGES + 1]; /* of the stem and of each stage's feature */
    int divisor[SFTN_MAX_STAGES + 1];  /* image size over feature size, likewise */
    bool preactivated;                 /* a stage begins with its own BN and ReLU: signed input */
    const struct sftn_family *family;
    int depth, width; /* family-defined: layers; widening factor */
} sftn_model;

/*
 * The model called name ("resnet20", "wrn_40_2", any "wrn_d_k" with d = 6n + 4), copied to *model.
 * ARGUMENT with the nearest known name where there is none.
 */
SFTN_API sftn_status sftn_model_find(const char *name, sftn_model *model, sftn_error *err);
/* The i-th listed model (of families with a rule, wrn_d_k, the common ones); false past the end. */
SFTN_API bool sftn_model_list(int i, sftn_model *model);

/*
 * Append the network to s->g.  image: [N,C,H,W].  classes >= 2.
 * from_stage 0 builds all of it from the image; i >= 1 enters after stage i: x is then that
 * stage's feature, and stem and stages 1..i are not built (their taps are SFTN_NONE).  i = nstages
 * builds the head alone.
 */
SFTN_API sftn_taps sftn_model_build(const sftn_model *model, const sftn_scope *s, sftn_value x,
                                    int classes, int from_stage);

/* Shape of the feature after stage i (0: stem) for an image shape. */
SFTN_API sftn_shape sftn_model_feature_shape(const sftn_model *model, sftn_shape image, int stage);

/* A published tap and its name: "stem", "stage1", "stage1.preact", ..., "pooled", "logits". */
typedef struct sftn_named_tap {
    char name[24];
    sftn_value value;
    sftn_affine norm; /* of a preact */
} sftn_named_tap;
/* Fill list[SFTN_MAX_TAPS] with what is published, in the order of the network; how many. */
SFTN_API int sftn_taps_list(const sftn_taps *taps, sftn_named_tap *list);

#ifdef __cplusplus
}
#endif
#endif
