/*
 * attr: compiler attributes and the two ownership macros of this house.
 */
#ifndef COMMON_ATTR_H
#define COMMON_ATTR_H

/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* A printf-like function: format at argument f, first value at argument a. */
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/*
 * Cleanup stated at birth: `CLEANUP(foo_freep) struct foo *foo = NULL;` runs foo_freep(&foo) when
 * the variable goes out of scope. CLEANUP_DEFINE makes foo_freep out of foo_free.
 */
#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_DEFINE(type, function)                                                             \
    static inline void function##p(type *pointer) {                                                \
        if (*pointer) function(*pointer);                                                          \
    }

/* Give a pointer away: yields its value and leaves NULL behind, so that no cleanup frees it. */
#define TAKE_PTR(pointer)                                                                          \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
