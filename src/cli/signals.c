/*
 * signals.c: Ctrl-C and SIGTERM as a flag that the trainer's stop hook reads.
 */
#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;

static void note_signal(int number)
{
    if (stop_signal)
        _exit(128 + number);
    stop_signal = number;
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};

    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cli_stop_requested(void *unused)
{
    (void)unused;
    return stop_signal != 0;
}

int cli_stop_signal(void)
{
    return (int)stop_signal;
}
