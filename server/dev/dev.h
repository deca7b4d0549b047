/*
 * dev: everything in one process on loopback, to try bearerd with curl: a throwaway issuer, an echo
 * upstream and sample routes.
 */
#ifndef SERVER_DEV_DEV_H
#define SERVER_DEV_DEV_H

/* The command "bearerd dev". Returns the exit code. */
int dev_main(int argc, char **argv);

#endif
