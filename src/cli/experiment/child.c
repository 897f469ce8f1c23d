/* child.c: work done in a process of its own. */
#include "cli/experiment/experiment.h"

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

int in_child(int (*work)(void *ctx), void *ctx, void *result, size_t size)
{
    int end[2], status = 0;
    pid_t child;
    bool ok;

    if (pipe(end) != 0)
        return CLI_FAILED;
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
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return CLI_FAILED;
    return WEXITSTATUS(status) == CLI_DONE && !ok ? CLI_FAILED : WEXITSTATUS(status);
}
