/*
 * answers: accuracy, cross-entropy, confidence, entropy and calibration of answers p = softmax(z).
 *
 * Calibration error (ECE; Guo, Pleiss, Sun and Weinberger, ICML 2017): images are sorted by their
 * confidence max p into bins of equal width (b / B, (b + 1) / B],
 *
 *     ECE = sum over bins of n_b / n |hits_b / n_b - mean confidence of b|
 */
#include "train/answers.h"

#include <math.h>
#include <stdlib.h>

int sftn_answer(const double *logits, int n, double *log_p)
{
    double sum = 0.0;
    int best = 0;

    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    for (int i = 0; i < n; i++)
        sum += exp(logits[i] - logits[best]);
    for (int i = 0; i < n; i++)
        log_p[i] = logits[i] - logits[best] - log(sum);
    return best;
}

sftn_status sftn_answer_sums_open(sftn_answer_sums *s, int classes, int bins, sftn_error *err)
{
    *s = (sftn_answer_sums){.classes = classes, .bins = bins};
    if (bins < 1)
        return sftn_fail(err, SFTN_ERR_ARGUMENT,
                         "the calibration error of %d bins, expected at least 1", bins);
    s->bin = sftn_calloc((size_t)bins, sizeof *s->bin);
    return s->bin ? SFTN_OK : sftn_fail(err, SFTN_ERR_MEMORY, "comparison: out of memory");
}

void sftn_answer_sums_close(sftn_answer_sums *s)
{
    free(s->bin);
    *s = (sftn_answer_sums){0};
}

void sftn_answer_sums_add(sftn_answer_sums *s, const double *log_p, int answer, int label)
{
    const double confidence = exp(log_p[answer]);
    int b = (int)ceil(confidence * s->bins) - 1;

    b = b < 0 ? 0 : b < s->bins ? b : s->bins - 1;
    s->bin[b].n++;
    s->bin[b].hits += answer == label;
    s->bin[b].confidence += confidence;
    s->n++;
    s->hits += answer == label;
    s->loss -= log_p[label];
    s->confidence += confidence;
    for (int k = 0; k < s->classes; k++)
        s->entropy -= exp(log_p[k]) * log_p[k];
}

sftn_answers sftn_answer_sums_value(const sftn_answer_sums *s)
{
    const double n = (double)s->n;
    double error = 0.0;

    if (s->n == 0)
        return (sftn_answers){0};
    for (int b = 0; b < s->bins; b++)
        error += fabs((double)s->bin[b].hits - s->bin[b].confidence);
    return (sftn_answers){
        .n = s->n,
        .top1 = 100.0 * (double)s->hits / n,
        .loss = s->loss / n,
        .confidence = 100.0 * s->confidence / n,
        .calibration_error = 100.0 * error / n,
        .entropy = s->entropy / n,
    };
}

void sftn_likeness_add(sftn_likeness *l, const double *log_t, const double *log_s, int classes,
                       bool agreed)
{
    for (int k = 0; k < classes; k++) {
        l->kl_teacher_student += exp(log_t[k]) * (log_t[k] - log_s[k]);
        l->kl_student_teacher += exp(log_s[k]) * (log_s[k] - log_t[k]);
    }
    l->agreed += agreed;
    l->n++;
}
