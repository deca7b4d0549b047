/*
 * fetch_inspect: looks over libcurl's shoulder at one fetch, step by step. Belongs to fetch.
 */
#ifndef COMMON_FETCH_INSPECT_H
#define COMMON_FETCH_INSPECT_H

#include <curl/curl.h>

#include "common/fetch.h"

struct inspector;

/* For a fetch of url. NULL where memory ran out. inspector_free(NULL) is fine. */
struct inspector *inspector_new(const struct fetch_settings *settings, const char *url);
void inspector_free(struct inspector *inspector);

/* Watch the next request of the fetch: the first, or one that a redirect led to. */
void inspector_attach(struct inspector *inspector, CURL *easy);

/* Its request has ended so; before easy is freed. */
void inspector_collect(struct inspector *inspector, CURL *easy, CURLcode code);

/* What was seen so far. Lives as long as the inspector. */
const struct fetch_inspection *inspector_result(const struct inspector *inspector);

#endif
