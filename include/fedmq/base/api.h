/*
 * api.h - what every public header opens and closes its declarations with.
 *
 * Between FMQ_API_BEGIN and FMQ_API_END functions have C linkage in C++ too, and
 * are exported: the library is compiled with hidden visibility, so that what no
 * header in include/fedmq/ declares is nobody else's to call.  Other headers are
 * included before FMQ_API_BEGIN.
 */
#ifndef FEDMQ_BASE_API_H
#define FEDMQ_BASE_API_H

#if defined(__cplusplus)
#define FMQ_API_BEGIN                                                                              \
    extern "C" {                                                                                   \
    _Pragma("GCC visibility push(default)")
#define FMQ_API_END                                                                                \
    _Pragma("GCC visibility pop")                                                                  \
    }
#else
#define FMQ_API_BEGIN _Pragma("GCC visibility push(default)")
#define FMQ_API_END   _Pragma("GCC visibility pop")
#endif

#endif
