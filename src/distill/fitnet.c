/*
 * fitnet: hints (Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015).
 *
 *     L = mean (R(f_s) - f_t)^2
 *
 * f_s, f_t: features of stage 2.  The regressor R, one convolution with batch norm and ReLU, is
 * trained together with the student.  As in the CRD benchmark there is no stage of training by
 * hints alone, and R ends in ReLU whether or not the teacher's feature is signed.
 */
#include "distill/distill.h"

static void fitnet_adapt(const sftn_distill_args *a, sftn_tap_pair *pair)
{
    for (int i = 0; i < a->npairs; i++) {
        const sftn_scope s = sftn_pair_scope(a, i);

        pair[i].student = sftn_regress(&s, pair[i].student, pair[i].teacher, true);
    }
}

static sftn_value fitnet_loss(const sftn_distill_args *a)
{
    sftn_value term[SFTN_MAX_PAIRS];

    for (int i = 0; i < a->npairs; i++)
        term[i] = sftn_mse(a->g, a->pair[i].student, a->pair[i].teacher);
    return sftn_add_terms(a->g, term, a->npairs);
}

const sftn_distiller sftn_distiller_fitnet = {
    .name        = "fitnet",
    .summary     = "regress the teacher's feature map of one stage",
    .reference   = "Romero et al., ICLR 2015",
    .pairs       = "stage2",
    .weight      = 100.0,
    .task_weight = 1.0,
    .adapt       = fitnet_adapt,
    .loss        = fitnet_loss,
};
