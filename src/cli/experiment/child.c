/* child.c: work done in a process of its own. */
#include "cli/experiment/experiment.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pipes take large results in parts. */
static bool put(int file, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        const ssize_t n = write(file, at, size);

        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool get(int file, void *data, size_t size)
{
    char *at = data;

    while (size > 0) {
        const ssize_t n = read(file, at, size);

        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* Says what became of a child with that status (0: there was none, errno says why). */
static int lost(int status)
{
    sftn_error err = {.status = SFTN_ERR_MEMORY};

    if (WIFSIGNALED(status))
        snprintf(err.text, sizeof err.text,
                 "a process that read data or timed steps was ended by signal %d, %s",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(err.text, sizeof err.text, "no process could be started: %s", strerror(errno));
    return cli_fail(&err);
}

int in_child(int (*work)(void *ctx), void *ctx, void *result, size_t size)
{
    int end[2], status = 0;
    pid_t child;
    bool ok;

    if (pipe(end) != 0)
        return lost(0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        int code = work(ctx);

        close(end[0]);
        if (code == CLI_DONE && !put(end[1], result, size))
            code = CLI_FAILED;
        fflush(NULL);
        _exit(code);
    }
    close(end[1]);
    ok = child > 0 && get(end[0], result, size);
    close(end[0]);
    while (child > 0 && waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            return lost(0);
    if (child < 0 || !WIFEXITED(status))
        return lost(status);
    return WEXITSTATUS(status) == CLI_DONE && !ok ? CLI_FAILED : WEXITSTATUS(status);
}
