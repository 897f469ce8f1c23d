/*
 * verify.h: networks and losses against reference values computed elsewhere.
 *
 * A reference directory holds model/NAME.safetensors (a network's logits, loss and gradients),
 * loss/NAME.safetensors (a method's loss and gradients on stored features or answers) and
 * sftn/TEACHER__STUDENT.safetensors (one student-friendly teacher step).  Weights and inputs of
 * networks are not stored: both sides compute them from names, by the rule of sftn_verify_fill.
 */
#ifndef SFTN_VERIFY_H
#define SFTN_VERIFY_H

#include "sftn/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What one file showed.  Two rows come of a loss, its values and its gradients; one of any other
 * file.  Texts are borrowed until the callback returns.
 */
typedef struct sftn_verify_row {
    const char *file;  /* "model/resnet20" */
    const char *kind;  /* "network", "teacher step", "loss", "loss gradient" */
    const char *method; /* of a loss: its name here, for example "at"; NULL for other files */
    int phase;         /* of the method, from 1, that the loss is of; 0: the main one */
    bool missing;      /* this build has no network or method of that name; the rest is unset */
    bool ok;           /* every deviation is within its tolerance */
    double deviation;  /* the one nearest to its tolerance, or furthest beyond: relative to the
                          largest value of its tensor, or for gradients of networks also to their
                          own norm; infinite where a number is not finite */
    double tolerance;
    const char *worst; /* where: "logits_eval", "grad_probe layer1.0.conv1.weight" */
} sftn_verify_row;

/*
 * Fill an array of n elements from its name.  With h the 64-bit FNV-1a hash of the name, element j
 * is made of SplitMix64's output for state h + (j + 1) 0x9E3779B97F4A7C15: u its upper 24 bits
 * times 2^-24, in [0,1), and s = 2 u - 1.  The element is offset + u_factor u + s_factor s.
 */
SFTN_API void sftn_verify_fill(const char *name, double offset, double u_factor, double s_factor,
                               float *dst, int64_t n);
/*
 * Fill every entry of p by its name and kind: running_var 1 + 0.5 u; running_mean 0.1 s; two or
 * more dimensions sqrt(6 / fan_in) s, fan_in the product of all but the first; one-dimensional
 * weights 1 + 0.1 s; biases 0.1 s; counters 0.
 */
SFTN_API void sftn_verify_fill_params(sftn_params *p);

/*
 * Run every reference file below dir, in the order model, loss, sftn and by name, and report each.
 * plan: backend and precision.  Float32 is held to 1e-3 for networks, where every single gradient
 * also has to be within 0.05 of its own norm; to 1e-5 for losses and 1e-4 for their gradients.
 * bfloat16 is held to what its 8 bits of mantissa allow.
 * FILE: dir holds no reference file.  FORMAT: a file is damaged.  NUMERIC: some file deviates
 * (after all have been reported).
 */
SFTN_API sftn_status sftn_verify_dir(const char *dir, const sftn_plan_options *plan,
                                     void (*row)(void *ctx, const sftn_verify_row *row), void *ctx,
                                     sftn_error *err);

#ifdef __cplusplus
}
#endif
#endif
