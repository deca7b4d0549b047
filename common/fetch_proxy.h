/*
 * fetch_proxy: how a handle of libcurl comes to its proxy. Belongs to fetch.
 */
#ifndef COMMON_FETCH_PROXY_H
#define COMMON_FETCH_PROXY_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdint.h>

/* Once, before anything else of libcurl. Any thread. */
void fetch_init_curl(void);

/* The proxy and its exceptions; "" leaves either to the environment. */
void fetch_set_proxy(CURL *easy, const char *proxy, const char *no_proxy);

/* The IP address and port of a socket's address, as text and number. */
void fetch_read_address(const struct sockaddr *address, char ret[INET6_ADDRSTRLEN],
                        uint16_t *ret_port);

#endif
