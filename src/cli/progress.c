/*
 * progress.c: one line that keeps changing on a terminal, one line an epoch anywhere else.
 */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 512, MIN_BAR = 6, MAX_BAR = 30 };

static const double redraw_s = 0.1;

double cli_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

cli_progress cli_progress_new(void)
{
    return (cli_progress){.bar = isatty(STDERR_FILENO) != 0};
}

bool cli_progress_open(cli_progress *p, const cli_job *jobs, int n)
{
    *p = cli_progress_new();
    p->job = jobs;
    p->n = n;
    p->last = calloc((size_t)n, sizeof *p->last);
    return p->last != NULL;
}

void cli_progress_close(cli_progress *p)
{
    free(p->last);
    p->last = NULL;
}

void cli_progress_clear(const cli_progress *p)
{
    if (p->bar)
        fputs("\r\033[K", stderr);
}

void cli_format_duration(double seconds, char *buf, size_t size)
{
    const long s = seconds > 0.0 ? (long)(seconds + 0.5) : 0;

    if (s >= 3600)
        snprintf(buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
}

void cli_format_count(int64_t n, char *buf, size_t size)
{
    char digits[32];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    size_t out = 0;

    for (int i = 0; i < length && out + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
            buf[out++] = ',';
        buf[out++] = digits[i];
    }
    buf[out] = '\0';
}

void cli_format_bytes(int64_t n, char *buf, size_t size)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)n;
    int i = 0;

    for (; value >= 1024.0 && i < CLI_COUNT(unit) - 1; i++)
        value /= 1024.0;
    snprintf(buf, size, i == 0 ? "%.0f %s" : "%.1f %s", value, unit[i]);
}

static int terminal_width(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

void cli_progress_draw(const char *before, double fraction, const char *after)
{
    const int width = terminal_width() - 1;
    const int room = width - (int)strlen(before) - (int)strlen(after) - 4;
    char bar[MAX_BAR + 1];
    char line[2 * LINE_SIZE];

    if (room >= MIN_BAR) {
        const int length = room < MAX_BAR ? room : MAX_BAR;
        const int full = (int)(fraction * length + 0.5);

        for (int i = 0; i < length; i++)
            bar[i] = i < full ? '=' : i == full ? '>' : ' ';
        bar[length] = '\0';
        snprintf(line, sizeof line, "%s [%s] %s", before, bar, after);
    } else {
        snprintf(line, sizeof line, "%s %s", before, after);
    }
    fprintf(stderr, "\r%.*s\033[K", width, line);
    fflush(stderr);
}

static size_t add_text(char *line, size_t used, const char *text)
{
    const size_t length = strlen(text);

    if (used + length + 1 > LINE_SIZE)
        return used;
    memcpy(line + used, text, length + 1);
    return used + length;
}

/* "  NAME value" of each term, as long as `room` columns suffice; a single term is the loss. */
static size_t add_terms(char *line, size_t used, int room, int digits, const sftn_progress *p)
{
    char part[96];

    for (int i = 0; p->nterms > 1 && i < p->nterms; i++) {
        snprintf(part, sizeof part, "  %s %.*f", p->term_name[i], digits, p->term[i]);
        if ((int)(used + strlen(part)) > room)
            break;
        used = add_text(line, used, part);
    }
    return used;
}

static void format_step(const sftn_progress *p, int room, char *after)
{
    char part[96], left[32];
    size_t used = 0;

    cli_format_duration(p->remaining_s, left, sizeof left);
    snprintf(part, sizeof part, "%.0f images/s  loss %.3f", p->images_per_s, p->loss);
    used = add_text(after, used, part);
    if (p->train_top1 >= 0.0) {
        snprintf(part, sizeof part, "  train %.1f%%", p->train_top1);
        used = add_text(after, used, part);
    }
    used = add_terms(after, used, room - MIN_BAR - 8 - (int)strlen(left), 3, p);
    snprintf(part, sizeof part, "  %s left", left);
    add_text(after, used, part);
}

/* Likewise for all jobs that have made the step of p: how many, and between what they lie. */
static void format_steps(const cli_progress *state, const sftn_progress *p, char *after)
{
    double loss[2] = {p->loss, p->loss}, top1[2] = {p->train_top1, p->train_top1};
    char left[32];
    int n = 0;

    for (int i = 0; i < state->n; i++) {
        const sftn_progress *q = &state->last[i];

        if (q->members == 0 || q->step != p->step)
            continue;
        loss[0] = fmin(loss[0], q->loss);
        loss[1] = fmax(loss[1], q->loss);
        top1[0] = fmin(top1[0], q->train_top1);
        top1[1] = fmax(top1[1], q->train_top1);
        n++;
    }
    cli_format_duration(p->remaining_s, left, sizeof left);
    snprintf(after, LINE_SIZE,
             "%d x %.0f images/s  loss %.3f to %.3f  train %.1f to %.1f%%  %s left", n,
             p->images_per_s, loss[0], loss[1], top1[0], top1[1], left);
}

/* "NAME  " in the width of the longest, written to name; nothing for one job alone. */
static void format_name(const cli_progress *state, int member, char *name, size_t size)
{
    int width = 0;

    for (int i = 0; i < state->n; i++)
        if ((int)strlen(state->job[i].name) > width)
            width = (int)strlen(state->job[i].name);
    snprintf(name, size, "%-*s%s", width, state->job[member].name, width ? "  " : "");
}

/* "  NAME value,value" of what a survey of held-out images found. */
static size_t add_found(char *line, size_t used, const sftn_progress *p)
{
    char part[96];

    for (int64_t i = 0; i < p->nfound; i++) {
        snprintf(part, sizeof part, "%s%s%s%.3f", i ? "" : "  ", i ? "" : p->found_name,
                 i ? "," : " ", (double)p->found[i]);
        used = add_text(line, used, part);
    }
    return used;
}

/* The line that stays; on a terminal (width > 0) with as many loss terms as fit. */
static void print_epoch(const sftn_progress *p, const char *name, int width)
{
    char line[LINE_SIZE], tail[LINE_SIZE] = "", part[96], left[32];
    size_t used = 0;

    cli_format_duration(p->remaining_s, left, sizeof left);
    if (p->train_top1 >= 0.0) {
        snprintf(part, sizeof part, "  train %.2f%%", p->train_top1);
        used = add_text(tail, used, part);
    }
    if (p->validation_top1 >= 0.0) {
        snprintf(part, sizeof part, "  validation %.2f%%", p->validation_top1);
        used = add_text(tail, used, part);
    }
    if (p->test_top1 >= 0.0) {
        snprintf(part, sizeof part, "  test %.2f%%", p->test_top1);
        used = add_text(tail, used, part);
    }
    for (int i = 0; i < p->npeers; i++) {
        snprintf(part, sizeof part, "  %s %.2f%%", p->peer_name[i], p->peer_top1[i]);
        used = add_text(tail, used, part);
    }
    if (p->found)
        used = add_found(tail, used, p);
    if (p->ema_top1 >= 0.0) {
        snprintf(part, sizeof part, "  averaged %.2f%%", p->ema_top1);
        used = add_text(tail, used, part);
    }
    snprintf(part, sizeof part, "  %.0f images/s  %s left", p->images_per_s, left);
    add_text(tail, used, part);
    snprintf(line, sizeof line, "%sepoch %lld/%lld%s%s  lr %.4g  loss %.4f", name,
             (long long)p->epoch, (long long)p->epochs, p->phase ? "  " : "",
             p->phase ? p->phase : "", p->lr, p->loss);
    add_terms(line, strlen(line), width ? width - (int)strlen(tail) : LINE_SIZE, 4, p);
    fprintf(stderr, "%s%s\n", line, tail);
}

void cli_show_progress(void *ctx, const sftn_progress *p)
{
    cli_progress *state = ctx;
    const double now = cli_now();
    char before[64], after[LINE_SIZE], name[192];

    state->last[p->member] = *p;
    if (p->epoch_done) {
        format_name(state, p->member, name, sizeof name);
        cli_progress_clear(state);
        print_epoch(p, name, state->bar ? terminal_width() : 0);
        return;
    }
    if (!state->bar || now - state->drawn_s < redraw_s)
        return;
    state->drawn_s = now;
    snprintf(before, sizeof before, "%s%sepoch %lld/%lld %3lld%%", p->phase ? p->phase : "",
             p->phase ? " " : "", (long long)p->epoch, (long long)p->epochs,
             (long long)(p->batches ? 100 * p->batch / p->batches : 0));
    if (state->n > 1)
        format_steps(state, p, after);
    else
        format_step(p, terminal_width() - (int)strlen(before) - 5, after);
    cli_progress_draw(before, p->batches ? (double)p->batch / (double)p->batches : 0.0, after);
}

void cli_show_balance(void *ctx, int member, const sftn_balance *balance)
{
    cli_progress *state = ctx;
    const cli_job *job = &state->job[member];
    char name[192];

    format_name(state, member, name, sizeof name);
    cli_progress_clear(state);
    fprintf(stderr, "%sgradients beside the labels':", name);
    for (int i = 0; i < balance->n; i++)
        fprintf(stderr, "%s %s %.3g", i ? "," : "", balance->pull[i].term, balance->pull[i].ratio);
    fputc('\n', stderr);
    for (int i = 0; i < balance->n; i++) {
        const sftn_pull *p = &balance->pull[i];

        if (p->far)
            fprintf(stderr,
                    "sftn: warning: %s%sthe gradient of '%s' is %.2g times that of '%s'; instead "
                    "of its weight of %g, %.2g would make them equal\n",
                    job->name, job->name[0] ? ": " : "", p->term, p->ratio, p->labels, p->weight,
                    p->balanced);
    }
}

bool cli_show_download(void *ctx, int64_t done, int64_t total)
{
    cli_progress *state = ctx;
    const double now = cli_now();
    char after[96], have[32], all[32];

    if (cli_stop_requested(NULL))
        return false;
    if (!state->bar || (now - state->drawn_s < redraw_s && done != total))
        return true;
    state->drawn_s = now;
    cli_format_bytes(done, have, sizeof have);
    cli_format_bytes(total, all, sizeof all);
    if (total > 0)
        snprintf(after, sizeof after, "%s of %s", have, all);
    else
        snprintf(after, sizeof after, "%s", have);
    cli_progress_draw("downloading", total > 0 ? (double)done / (double)total : 0.0, after);
    return true;
}
