/*
 * pool.c: cells trained in child processes, as many at a time as asked for.
 *
 * This process plans, forks and waits; only children compute.  So a training that fails, or is
 * killed for its memory, takes no other with it.  Students of one teacher on the same batches are
 * given to one child; where such a group does not end well, its members are tried one by one.
 *
 * A child holds a lock on its run directories, released when it ends in whatever way: several
 * experiments may share a cache.  It is told to stop when this process ends.  What a child says
 * goes to output.txt in its (first) run directory, whose last sentence is the error reported.
 */
#include "cli/experiment/experiment.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { MAX_TOGETHER = 64 };

typedef struct worker {
    pid_t pid; /* 0: free */
    int member[MAX_TOGETHER];
    int n;
    double begin;
    int epoch; /* that its training was at then */
} worker;

typedef struct pool {
    cells *cells;
    const run_options *o;
    worker *worker;
    int running;
    double begin, limit; /* seconds; limit 0: none */
    double looked;       /* when locked directories were tried last */
    bool stopping, out_of_time;
    bool waits;       /* it was said that another process has a cell */
    bool timed;       /* every training's time was estimated */
    double estimated; /* cost of what has been done, as it was expected */
    double spent;     /* seconds that it took */
    cli_progress progress;
    double drawn;
    void (*changed)(void *ctx);
    void *ctx;
} pool;

static const double poll_s = 0.05, look_s = 2.0, draw_s = 1.0;

/* ---- children ---- */

static void redirect(const char *dir)
{
    char path[640];
    int in = open("/dev/null", O_RDONLY), out;

    snprintf(path, sizeof path, "%s/output.txt", dir);
    out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (in < 0 || out < 0)
        _exit(CLI_FAILED);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
}

/* The cell's line with its run directory, and what holds for this child. */
static bool child_line(const cell *c, bool resume, cli_line *line)
{
    char text[640], batch_seed[64];
    char *more[3] = {text, batch_seed, (char *)(uintptr_t) "--resume"};
    const int extra = resume ? 3 : 2;

    snprintf(text, sizeof text, "--out=%s", c->dir);
    snprintf(batch_seed, sizeof batch_seed, "--batch-seed=%s", c->batch_seed);
    *line = (cli_line){.argv = calloc((size_t)(c->argc + extra + 1), sizeof *line->argv)};
    for (int i = 0; line->argv && i < c->argc + extra; i++) {
        line->argv[i] = strdup(i < c->argc ? c->argv[i] : more[i - c->argc]);
        if (!line->argv[i])
            return false;
        line->argc++;
    }
    snprintf(line->name, sizeof line->name, "%.150s", c->name);
    return line->argv != NULL;
}

static int train(const cells *all, const worker *w)
{
    cli_line line[MAX_TOGETHER];
    bool resume = false;

    for (int i = 0; i < w->n; i++)
        resume = resume || all->list[w->member[i]].resumes;
    for (int i = 0; i < w->n; i++)
        if (!child_line(&all->list[w->member[i]], resume, &line[i]))
            return cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    if (all->list[w->member[0]].kind == CELL_STUDENT)
        return cli_distill(line, w->n, true, line[0].argc, line[0].argv);
    return cli_command_find(line[0].argv[0])->run(line[0].argc, line[0].argv);
}

/* Another child's locks are released when that one ends. */
static void keep_own_locks(const cells *all, const worker *w)
{
    for (int i = 0; i < all->n; i++) {
        bool own = false;

        for (int k = 0; k < w->n; k++)
            own = own || w->member[k] == i;
        if (!own && all->list[i].lock >= 0)
            close(all->list[i].lock);
    }
}

/* Signals of the terminal go to this process's group; children are asked by it. */
static void run_child(const cells *all, const worker *w, pid_t parent)
{
    int code;

    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (getppid() != parent)
        _exit(CLI_FAILED);
    keep_own_locks(all, w);
    redirect(all->list[w->member[0]].dir);
    code = train(all, w);
    fflush(NULL);
    _exit(code);
}

/* ---- locks ---- */

/* Make the run directory and lock it.  False: another process has it, or c->error is set. */
static bool lock_cell(cell *c)
{
    char path[640];

    if (cli_make_dirs(c->dir, &c->error) != SFTN_OK)
        return false;
    snprintf(path, sizeof path, "%s/lock", c->dir);
    c->lock = open(path, O_RDWR | O_CREAT, 0666);
    if (c->lock < 0) {
        sftn_fail(&c->error, SFTN_ERR_FILE, "%s: cannot open: %s", path, strerror(errno));
        return false;
    }
    if (flock(c->lock, LOCK_EX | LOCK_NB) == 0)
        return true;
    close(c->lock);
    c->lock = -1;
    return false;
}

static void unlock_cell(cell *c)
{
    if (c->lock >= 0)
        close(c->lock);
    c->lock = -1;
}

/* ---- what is said ---- */

static const char *count_text(const pool *p, char *buf, size_t size)
{
    int all = 0, ended = 0;

    for (int i = 0; i < p->cells->n; i++) {
        const cell *c = &p->cells->list[i];

        if (c->same_as >= 0 || c->cached || c->state == CELL_LEFT)
            continue;
        all++;
        ended += c->state == CELL_DONE || c->state == CELL_FAILED;
    }
    snprintf(buf, size, "[%d/%d]", ended, all);
    return buf;
}

/* What a training costs beside others: seconds as estimated, or epochs where some were not. */
static double cost(const pool *p, const cell *c)
{
    return p->timed && c->seconds >= 0.0 ? c->seconds : c->epochs;
}

/* The last epoch that a run directory's log tells; 0: none. */
static int logged_epoch(const char *dir)
{
    static const char key[] = "\n{\"epoch\":";
    char path[640], text[8192] = "\n";
    int epoch = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/log.jsonl", dir);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (fseek(f, -(long)(sizeof text - 2), SEEK_END) != 0)
        rewind(f);
    text[1 + fread(text + 1, 1, sizeof text - 2, f)] = '\0';
    fclose(f);
    for (const char *at = strstr(text, key); at; at = strstr(at + 1, key))
        epoch = atoi(at + sizeof key - 1);
    return epoch;
}

/* How much of what a child began with is done, 0 to 1; those of a group go in step. */
static double part_done(const pool *p, const worker *w)
{
    const cell *c = &p->cells->list[w->member[0]];
    const double epochs = c->epochs - w->epoch, made = logged_epoch(c->dir) - w->epoch;

    return epochs <= 0.0 || made <= 0.0 ? 0.0 : made < epochs ? made / epochs : 1.0;
}

/*
 * What is done of all that was to do, 0 to 1, and the seconds that are left, by what was done so
 * far took; negative: not known yet.
 */
static double look_ahead(const pool *p, double *left)
{
    double all = 0.0, done = 0.0, made = p->estimated, spent = p->spent;
    int open = 0;

    for (int i = 0; i < p->cells->n; i++) {
        const cell *c = &p->cells->list[i];

        if (c->same_as >= 0 || c->cached || c->state == CELL_LEFT)
            continue;
        all += cost(p, c);
        if (c->state == CELL_DONE || c->state == CELL_FAILED)
            done += cost(p, c);
        else
            open++;
    }
    for (int i = 0; i < p->o->jobs; i++) {
        const worker *w = &p->worker[i];
        const double part = w->pid ? part_done(p, w) : 0.0;

        for (int k = 0; k < w->n && part > 0.0; k++) {
            done += part * cost(p, &p->cells->list[w->member[k]]);
            made += part * cost(p, &p->cells->list[w->member[k]]);
        }
        spent += part > 0.0 ? cli_now() - w->begin : 0.0;
    }
    *left = made > 0.0 ? spent / made : p->timed ? 1.0 : -1.0;
    *left *= (all - done) / (open > p->o->jobs ? p->o->jobs : open ? open : 1);
    return all > 0.0 ? done / all : 0.0;
}

static void say(pool *p, const cell *c, const char *text)
{
    char count[48], left[64] = "", time[32];
    double seconds;

    look_ahead(p, &seconds);
    cli_format_duration(seconds, time, sizeof time);
    if (seconds > 0.0 && p->estimated > 0.0)
        snprintf(left, sizeof left, "  %s left", time);
    cli_progress_clear(&p->progress);
    fprintf(stderr, "%s %s: %s%s\n", count_text(p, count, sizeof count), c->name, text, left);
}

static void draw(pool *p)
{
    char count[48], after[192], time[32], others[32] = "";
    const char *name = "";
    const double now = cli_now();
    double seconds, fraction;
    int running = 0;

    if (!p->progress.bar || now - p->drawn < draw_s || p->running == 0)
        return;
    p->drawn = now;
    for (int i = 0; i < p->o->jobs; i++)
        if (p->worker[i].pid) {
            name = p->cells->list[p->worker[i].member[0]].name;
            running += p->worker[i].n;
        }
    if (running > 1)
        snprintf(others, sizeof others, " and %d other%s", running - 1, running > 2 ? "s" : "");
    fraction = look_ahead(p, &seconds);
    cli_format_duration(seconds, time, sizeof time);
    snprintf(after, sizeof after, "%3.0f%%  %s%s%.32s%s", 100.0 * fraction,
             seconds > 0.0 ? time : "", seconds > 0.0 ? " left  " : "", name, others);
    cli_progress_draw(count_text(p, count, sizeof count), fraction, after);
}

/* ---- beginning ---- */

static bool is_done(const cells *all, int number)
{
    return number < 0 || all->list[number].state == CELL_DONE;
}

static bool is_ready(const pool *p, const cell *c)
{
    return c->state == CELL_OPEN && c->same_as < 0 && is_done(p->cells, c->teacher) &&
           is_done(p->cells, c->from);
}

static void end_cell(pool *p, cell *c, cell_state state, const char *text)
{
    c->state = state;
    unlock_cell(c);
    say(p, c, text);
    p->changed(p->ctx);
}

/* Cells whose teacher failed are not trained. */
static void skip_orphans(pool *p)
{
    for (int i = 0; i < p->cells->n; i++) {
        cell *c = &p->cells->list[i];
        const int needed[2] = {c->teacher, c->from};

        for (int k = 0; k < 2; k++)
            if (c->state == CELL_OPEN && c->same_as < 0 && needed[k] >= 0 &&
                p->cells->list[needed[k]].state == CELL_FAILED) {
                sftn_fail(&c->error, SFTN_ERR_ARGUMENT,
                          "not trained: %s, which it starts from, failed",
                          p->cells->list[needed[k]].name);
                end_cell(p, c, CELL_FAILED, c->error.text);
            }
    }
}

/* Take the cell for a child; what another process has finished is done. */
static bool take(pool *p, cell *c)
{
    c->error = (sftn_error){0};
    if (!lock_cell(c)) {
        if (c->error.status)
            end_cell(p, c, CELL_FAILED, c->error.text);
        else if (!p->waits)
            say(p, c, "another process is training it; it is tried again later");
        p->waits = true;
        return false;
    }
    if (cell_is_done(c)) {
        end_cell(p, c, CELL_DONE, "trained by another process");
        return false;
    }
    return true;
}

/* How many cells a child shall take, so that there is work for all. */
static int group_size(const pool *p)
{
    const int slots = p->o->jobs - p->running;
    int ready = 0, size;

    for (int i = 0; i < p->cells->n; i++)
        ready += is_ready(p, &p->cells->list[i]);
    size = (ready + slots - 1) / slots;
    return size < p->o->together ? size : p->o->together;
}

static bool joins(const pool *p, const cell *c, const cell *first)
{
    return is_ready(p, c) && !c->by_itself && !first->by_itself && c->together && first->together &&
           strcmp(c->together, first->together) == 0;
}

/* Fill w with ready cells that are trained together; 0: there are none that can be had. */
static int gather(pool *p, worker *w)
{
    const int size = group_size(p);

    w->n = 0;
    for (int i = 0; i < p->cells->n && w->n < size && w->n < MAX_TOGETHER; i++) {
        cell *c = &p->cells->list[i];

        if (w->n == 0 ? !is_ready(p, c) : !joins(p, c, &p->cells->list[w->member[0]]))
            continue;
        if (take(p, c))
            w->member[w->n++] = i;
    }
    return w->n;
}

static void start(pool *p, worker *w)
{
    const pid_t parent = getpid();
    char text[128];
    const cell *first = &p->cells->list[w->member[0]];

    for (int i = 0; i < w->n; i++) {
        cell *c = &p->cells->list[w->member[i]];
        char path[640];

        snprintf(path, sizeof path, "%s/checkpoint.safetensors", c->dir);
        c->resumes = access(path, F_OK) == 0;
        c->state = CELL_RUNNING;
    }
    snprintf(text, sizeof text,
             w->n > 2   ? "begins, with %d others"
             : w->n > 1 ? "begins, with %d other"
                        : "begins",
             w->n - 1);
    say(p, first, text);
    fflush(NULL);
    w->begin = cli_now();
    w->epoch = first->resumes ? logged_epoch(first->dir) : 0;
    w->pid = fork();
    if (w->pid == 0)
        run_child(p->cells, w, parent);
    if (w->pid > 0) {
        p->running++;
        return;
    }
    w->pid = 0;
    for (int i = 0; i < w->n; i++) {
        cell *c = &p->cells->list[w->member[i]];

        sftn_fail(&c->error, SFTN_ERR_MEMORY, "cannot start a process: %s", strerror(errno));
        end_cell(p, c, CELL_FAILED, c->error.text);
    }
}

static void start_all(pool *p)
{
    skip_orphans(p);
    if (cli_now() - p->looked < look_s)
        return;
    for (int i = 0; i < p->o->jobs && !p->stopping; i++) {
        worker *w = &p->worker[i];

        if (w->pid == 0 && gather(p, w) == 0)
            break;
        if (w->pid == 0)
            start(p, w);
    }
    p->looked = cli_now();
}

/* ---- ending ---- */

/* The last sentence of the command in what a child said, else the last line. */
static void last_sentence(const char *dir, char *buf, size_t size)
{
    char path[640], line[1024];
    bool said = false;
    FILE *f;

    snprintf(path, sizeof path, "%s/output.txt", dir);
    f = fopen(path, "re");
    buf[0] = '\0';
    while (f && fgets(line, sizeof line, f)) {
        const bool sentence = strncmp(line, "sftn: ", 6) == 0;

        line[strcspn(line, "\n")] = '\0';
        if (line[0] && (sentence || !said))
            snprintf(buf, size, "%.500s", sentence ? line + 6 : line);
        said = said || sentence;
    }
    if (f)
        fclose(f);
}

static void fail_cell(pool *p, const worker *w, cell *c, int status)
{
    char sentence[512];

    if (w->n > 1) {
        c->by_itself = true;
        c->state = CELL_OPEN;
        unlock_cell(c);
        return;
    }
    last_sentence(c->dir, sentence, sizeof sentence);
    if (WIFSIGNALED(status))
        sftn_fail(&c->error, SFTN_ERR_MEMORY, "the process was ended by signal %d (%s)",
                  WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (sentence[0])
        sftn_fail(&c->error, SFTN_ERR_ARGUMENT, "%s", sentence);
    else
        sftn_fail(&c->error, SFTN_ERR_ARGUMENT, "the process ended with code %d",
                  WEXITSTATUS(status));
    end_cell(p, c, CELL_FAILED, c->error.text);
}

static void finish(pool *p, worker *w, int status)
{
    const double spent = cli_now() - w->begin;

    p->running--;
    w->pid = 0;
    p->looked = 0.0;
    for (int i = 0; i < w->n; i++) {
        cell *c = &p->cells->list[w->member[i]];
        char time[32], text[64];

        if (cell_is_done(c)) {
            p->spent += spent / w->n;
            p->estimated += cost(p, c);
            cli_format_duration(spent, time, sizeof time);
            snprintf(text, sizeof text, "done in %s", time);
            end_cell(p, c, CELL_DONE, text);
        } else if (p->stopping) {
            c->state = CELL_STOPPED;
            unlock_cell(c);
        } else {
            fail_cell(p, w, c, status);
        }
    }
}

static void reap(pool *p)
{
    for (int i = 0; i < p->o->jobs; i++) {
        int status;

        if (p->worker[i].pid && waitpid(p->worker[i].pid, &status, WNOHANG) == p->worker[i].pid)
            finish(p, &p->worker[i], status);
    }
}

static void ask_to_stop(pool *p)
{
    if (p->stopping)
        return;
    p->stopping = true;
    cli_progress_clear(&p->progress);
    if (p->running > 0)
        fprintf(stderr, "sftn: %s; %d trainings are being saved\n",
                p->out_of_time ? "the time is over" : "stopping", p->running);
    for (int i = 0; i < p->o->jobs; i++)
        if (p->worker[i].pid)
            kill(p->worker[i].pid, SIGTERM);
}

static bool has_open(const pool *p)
{
    for (int i = 0; i < p->cells->n; i++)
        if (p->cells->list[i].state == CELL_OPEN && p->cells->list[i].same_as < 0)
            return true;
    return false;
}

static void loop(pool *p)
{
    const struct timespec nap = {.tv_nsec = (long)(poll_s * 1e9)};

    while (p->running > 0 || (!p->stopping && has_open(p))) {
        p->out_of_time = p->out_of_time || (p->limit > 0.0 && cli_now() - p->begin >= p->limit);
        if (cli_stop_requested(NULL) || p->out_of_time)
            ask_to_stop(p);
        reap(p);
        if (!p->stopping && p->running < p->o->jobs)
            start_all(p);
        draw(p);
        nanosleep(&nap, NULL);
    }
    cli_progress_clear(&p->progress);
}

pool_end pool_run(cells *c, const run_options *o, double seconds, void (*changed)(void *ctx),
                  void *ctx)
{
    pool p = {.cells = c,
              .o = o,
              .begin = cli_now(),
              .limit = seconds,
              .looked = -look_s,
              .progress = cli_progress_new(),
              .changed = changed,
              .ctx = ctx};
    pool_end end = POOL_DONE;

    p.worker = calloc((size_t)o->jobs, sizeof *p.worker);
    if (!p.worker) {
        cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
        return POOL_FAILED;
    }
    p.timed = true;
    for (int i = 0; i < c->n; i++)
        p.timed = p.timed && (c->list[i].state != CELL_OPEN || c->list[i].same_as >= 0 ||
                              c->list[i].seconds >= 0.0);
    loop(&p);
    for (int i = 0; i < c->n; i++)
        if (c->list[i].state == CELL_FAILED)
            end = POOL_FAILED;
    if (p.stopping)
        end = p.out_of_time ? POOL_TIME : POOL_INTERRUPTED;
    free(p.worker);
    return end;
}
