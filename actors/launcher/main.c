/*
 * main.c - the fedmq command.  The only file that ends the process.
 */
#include <fcntl.h>
#include <signal.h>

#include "actors/launcher/command.h"

/* A file opened later must not become standard output because that was closed. */
static void open_standard_streams(void)
{
    for (int descriptor = 0; descriptor < 3; descriptor++)
        if (fcntl(descriptor, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR);
}

int main(int argc, char **argv)
{
    open_standard_streams();
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that has gone ends no run */
    return fmq_commands_main(argc, argv);
}
