/*
 * statistics: mean, standard deviation and Student's interval of a few numbers.
 *
 * For a whole number v of degrees of freedom the distribution is elementary (Abramowitz and Stegun,
 * Handbook of Mathematical Functions, 26.7.3 and 26.7.4): with theta = atan(t / sqrt(v)), c and s
 * its cosine and sine, P(|T| <= t) is
 *
 *     v = 1          2 theta / pi
 *     v odd          2 / pi {theta + s [c + 2/3 c^3 + ... + 2 4..(v-3) / (3 5..(v-2)) c^(v-2)]}
 *     v even         s {1 + 1/2 c^2 + 1 3 / (2 4) c^4 + ... + 1 3..(v-3) / (2 4..(v-2)) c^(v-2)}
 *
 * which rises with theta, so that the quantile is found by halving an interval.
 */
#include "sftn/report.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double probability(double theta, int freedom)
{
    const double c = cos(theta), s = sin(theta);
    const bool odd = freedom % 2 == 1;
    double term = odd ? c : 1.0, sum = 0.0;

    for (int k = odd ? 1 : 0; k <= freedom - 2; k += 2) {
        sum += term;
        term *= c * c * (k + 1.0) / (k + 2.0);
    }
    return odd ? 2.0 / pi * (theta + s * sum) : s * sum;
}

double sftn_student_t(double level, int freedom)
{
    double low = 0.0, high = 0.5 * pi;

    for (int i = 0; i < 64; i++) {
        const double middle = 0.5 * (low + high);

        if (probability(middle, freedom) < level)
            low = middle;
        else
            high = middle;
    }
    return sqrt((double)freedom) * tan(0.5 * (low + high));
}

sftn_sample sftn_sample_of(const double *x, int n, double level)
{
    sftn_sample s = {.n = n, .mean = NAN, .sd = NAN, .low = NAN, .high = NAN};
    double sum = 0.0, squares = 0.0, half;

    for (int i = 0; i < n; i++) {
        sum += x[i];
        s.above += x[i] > 0.0;
        s.below += x[i] < 0.0;
    }
    if (n > 0)
        s.mean = sum / n;
    if (n < 2)
        return s;
    for (int i = 0; i < n; i++)
        squares += (x[i] - s.mean) * (x[i] - s.mean);
    s.sd = sqrt(squares / (n - 1));
    half = sftn_student_t(level, n - 1) * s.sd / sqrt((double)n);
    s.low = s.mean - half;
    s.high = s.mean + half;
    return s;
}
