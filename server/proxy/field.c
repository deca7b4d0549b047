#include "server/proxy/field.h"

#include <stdlib.h>

#define ROOM_STEP 64

void field_list_clear(struct field_list *list) {
    list->count = 0;
    list->owner = 0;
}

static bool grow(struct field_list *list) {
    size_t room = list->room + ROOM_STEP;
    struct field *items = realloc(list->items, room * sizeof *items);
    if (!items) return false;
    list->items = items;
    list->room = room;
    return true;
}

bool field_list_add(struct field_list *list, struct span name, struct span value) {
    if (list->count == list->room && !grow(list)) return false;
    list->items[list->count++] = (struct field){name, span_trim(value)};
    return true;
}

void field_list_done(struct field_list *list) {
    free(list->items);
    *list = (struct field_list){0};
}
