/*
 * main.c - the fedmq command.  The only file that ends the process.
 */
#include "actors/launcher/command.h"

int main(int argc, char **argv)
{
    return fmq_commands_main(argc, argv);
}
