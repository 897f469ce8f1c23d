/*
 * cores: how many processor cores this process may keep busy.
 *
 * A container limits processor time by a quota of its control group: so many microseconds in each
 * period.  Version 2 of control groups has it in cpu.max ("max 100000", "150000 100000"), version 1
 * in cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us.  The groups above have quotas of their own,
 * as far up as this process sees them.
 */
#include "base/base.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hierarchy of control groups that limits processor time, as /proc/self describes it. */
typedef struct hierarchy {
    bool v2;
    char group[PATH_MAX];  /* this process's, in the hierarchy */
    char prefix[PATH_MAX]; /* the group that is mounted */
    char mount[PATH_MAX];  /* where */
} hierarchy;

/* True where the list "a,b,c" holds the word. */
static bool lists(const char *list, const char *word)
{
    const size_t n = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
            return true;
    return false;
}

static FILE *open_under(const char *root, const char *path)
{
    char name[2 * PATH_MAX];

    snprintf(name, sizeof name, "%s%s", root, path);
    return fopen(name, "re");
}

/* Lines are "ID:CONTROLLERS:GROUP"; version 2 has no controllers. */
static bool find_group(const char *root, hierarchy *h)
{
    char line[PATH_MAX + 256], controllers[256];
    FILE *f = open_under(root, "/proc/self/cgroup");
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        controllers[0] = '\0';
        if (h->v2)
            found = sscanf(line, "0::%4095[^\n]", h->group) == 1;
        else
            found = sscanf(line, "%*d:%255[^:]:%4095[^\n]", controllers, h->group) == 2 &&
                    lists(controllers, "cpu");
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* Lines are "ID PARENT DEVICE PREFIX MOUNT OPTIONS [...] - TYPE SOURCE OPTIONS". */
static bool find_mount(const char *root, hierarchy *h)
{
    char line[3 * PATH_MAX], type[32], options[512];
    FILE *f = open_under(root, "/proc/self/mountinfo");
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        const char *rest = strstr(line, " - ");

        found = rest != NULL && sscanf(rest, " - %31s %*s %511s", type, options) == 2 &&
                sscanf(line, "%*s %*s %*s %4095s %4095s", h->prefix, h->mount) == 2 &&
                (h->v2 ? strcmp(type, "cgroup2") == 0
                       : strcmp(type, "cgroup") == 0 && lists(options, "cpu"));
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* Numbers in a file of the group at path; how many were read. */
static int read_numbers(const char *root, const char *path, const char *name, double *a, double *b)
{
    char full[2 * PATH_MAX];
    FILE *f;
    int n = 0;

    snprintf(full, sizeof full, "%s/%s", path, name);
    f = open_under(root, full);
    if (f != NULL) {
        n = fscanf(f, "%lf %lf", a, b);
        fclose(f);
    }
    return n;
}

/* Quota of the group at path, in cores; 0: none. */
static int group_quota(const char *root, const char *path, bool v2)
{
    double quota = 0.0, period = 0.0, cores;
    const bool set = v2 ? read_numbers(root, path, "cpu.max", &quota, &period) == 2
                        : read_numbers(root, path, "cpu.cfs_quota_us", &quota, &period) == 1 &&
                              read_numbers(root, path, "cpu.cfs_period_us", &period, &cores) == 1;

    if (!set || !(quota > 0.0) || !(period > 0.0))
        return 0;
    cores = quota / period;
    if (cores >= (double)INT_MAX)
        return 0;
    return (double)(int)cores < cores ? (int)cores + 1 : (int)cores;
}

/* The least quota of the process's group and those above it; 0: none. */
static int hierarchy_quota(const char *root, hierarchy *h)
{
    const size_t prefix = strcmp(h->prefix, "/") == 0 ? 0 : strlen(h->prefix);
    const char *below = strncmp(h->group, h->prefix, prefix) == 0 ? h->group + prefix : "";
    char path[2 * PATH_MAX];
    size_t length;
    int least = 0;

    snprintf(path, sizeof path, "%s%s", h->mount, strcmp(below, "/") == 0 ? "" : below);
    length = strlen(path);
    while (length >= strlen(h->mount)) {
        const int quota = group_quota(root, path, h->v2);

        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        while (length > 0 && path[--length] != '/')
            ;
        path[length] = '\0';
        if (length == 0)
            break;
    }
    return least;
}

int sftn_cores_quota(const char *root)
{
    hierarchy *h = sftn_calloc(1, sizeof *h);
    int least = 0;

    for (int v = 1; v <= 2 && h != NULL; v++) {
        int quota;

        h->v2 = v == 2;
        if (!find_group(root, h) || !find_mount(root, h))
            continue;
        quota = hierarchy_quota(root, h);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
    }
    free(h);
    return least;
}

/* Processors of this process's affinity; the mask is as long as the system wants it. */
static int affinity(void)
{
    int n = 0;

    for (size_t bits = CPU_SETSIZE; n == 0 && bits <= CPU_SETSIZE << 8; bits *= 2) {
        cpu_set_t *set = CPU_ALLOC(bits);

        if (set == NULL)
            break;
        if (sched_getaffinity(0, CPU_ALLOC_SIZE(bits), set) == 0)
            n = CPU_COUNT_S(CPU_ALLOC_SIZE(bits), set);
        CPU_FREE(set);
    }
    return n > 0 ? n : 1;
}

static int cores;

static void count_cores(void)
{
    const int quota = sftn_cores_quota("");

    cores = affinity();
    if (quota > 0 && quota < cores)
        cores = quota;
}

int sftn_cores(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, count_cores);
    return cores;
}
