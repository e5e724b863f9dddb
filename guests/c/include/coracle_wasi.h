/*
 * The part of wasi_snapshot_preview1 that Coracle has, for C without a C library. Meanings and layouts are those of the
 * WASI documents; what is special is in docs/guest-interface.md. Every function gives 0 or an errno of WASI.
 *
 * A test compares this file with the table that the cores link by.
 */
#ifndef CORACLE_WASI_H
#define CORACLE_WASI_H

#include <stddef.h>
#include <stdint.h>

#include "coracle.h"

#define WASI_STDIN 0
#define WASI_STDOUT 1
#define WASI_STDERR 2

#define WASI_CLOCK_REALTIME 0u
#define WASI_CLOCK_MONOTONIC 1u

/* A piece of memory to write from or to read into. */
struct wasi_iovec {
    void *buffer;
    size_t length;
};

/* Something to wait for: 0 is a clock, 1 that `descriptor` can be read, 2 that it can be written. */
struct wasi_subscription {
    uint64_t userdata;
    uint8_t tag;
    union {
        struct {
            uint32_t id;
            uint64_t timeout_ns;
            uint64_t precision_ns;
            uint16_t flags; /* 1: `timeout_ns` is a time, not a distance */
        } clock;
        uint32_t descriptor;
    } what;
};
_Static_assert(sizeof(struct wasi_subscription) == 48, "the layout of WASI");

struct wasi_event {
    uint64_t userdata;
    uint16_t error;
    uint8_t tag;
    uint64_t bytes;
    uint16_t flags;
};
_Static_assert(sizeof(struct wasi_event) == 32, "the layout of WASI");

/* On both cores. */

CORACLE_IMPORT("wasi_snapshot_preview1", "args_sizes_get")
int32_t wasi_args_sizes_get(size_t *count, size_t *bytes);
CORACLE_IMPORT("wasi_snapshot_preview1", "args_get")
int32_t wasi_args_get(char **args, char *bytes);
CORACLE_IMPORT("wasi_snapshot_preview1", "environ_sizes_get")
int32_t wasi_environ_sizes_get(size_t *count, size_t *bytes);
CORACLE_IMPORT("wasi_snapshot_preview1", "environ_get")
int32_t wasi_environ_get(char **variables, char *bytes);
CORACLE_IMPORT("wasi_snapshot_preview1", "clock_res_get")
int32_t wasi_clock_res_get(uint32_t clock, uint64_t *ns);
CORACLE_IMPORT("wasi_snapshot_preview1", "clock_time_get")
int32_t wasi_clock_time_get(uint32_t clock, uint64_t precision_ns, uint64_t *ns);
CORACLE_IMPORT("wasi_snapshot_preview1", "random_get")
int32_t wasi_random_get(void *buffer, size_t length);
CORACLE_IMPORT("wasi_snapshot_preview1", "sched_yield")
int32_t wasi_sched_yield(void);
CORACLE_IMPORT("wasi_snapshot_preview1", "proc_exit")
void wasi_proc_exit(int32_t code) __attribute__((noreturn));
CORACLE_IMPORT("wasi_snapshot_preview1", "poll_oneoff")
int32_t wasi_poll_oneoff(const struct wasi_subscription *list, struct wasi_event *events, size_t count, size_t *done);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_write")
int32_t wasi_fd_write(int32_t descriptor, const struct wasi_iovec *pieces, size_t count, size_t *written);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_read")
int32_t wasi_fd_read(int32_t descriptor, const struct wasi_iovec *pieces, size_t count, size_t *read);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_close")
int32_t wasi_fd_close(int32_t descriptor);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_seek")
int32_t wasi_fd_seek(int32_t descriptor, int64_t offset, uint32_t whence, uint64_t *position);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_fdstat_get")
int32_t wasi_fd_fdstat_get(int32_t descriptor, void *stat);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_prestat_get")
int32_t wasi_fd_prestat_get(int32_t descriptor, void *stat);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_prestat_dir_name")
int32_t wasi_fd_prestat_dir_name(int32_t descriptor, char *path, size_t path_len);

/* On the A core, with the grant `files`. */

CORACLE_IMPORT("wasi_snapshot_preview1", "path_open")
int32_t wasi_path_open(int32_t folder, uint32_t lookup, const char *path, size_t path_len, uint32_t how,
                       uint64_t rights, uint64_t inherited_rights, uint32_t flags, int32_t *descriptor);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_filestat_get")
int32_t wasi_fd_filestat_get(int32_t descriptor, void *stat);
CORACLE_IMPORT("wasi_snapshot_preview1", "path_filestat_get")
int32_t wasi_path_filestat_get(int32_t folder, uint32_t lookup, const char *path, size_t path_len, void *stat);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_readdir")
int32_t wasi_fd_readdir(int32_t folder, void *entries, size_t entries_size, uint64_t cookie, size_t *used);
CORACLE_IMPORT("wasi_snapshot_preview1", "path_create_directory")
int32_t wasi_path_create_directory(int32_t folder, const char *path, size_t path_len);
CORACLE_IMPORT("wasi_snapshot_preview1", "path_unlink_file")
int32_t wasi_path_unlink_file(int32_t folder, const char *path, size_t path_len);
CORACLE_IMPORT("wasi_snapshot_preview1", "path_rename")
int32_t wasi_path_rename(int32_t folder, const char *path, size_t path_len, int32_t new_folder, const char *new_path,
                         size_t new_path_len);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_sync")
int32_t wasi_fd_sync(int32_t descriptor);
CORACLE_IMPORT("wasi_snapshot_preview1", "fd_tell")
int32_t wasi_fd_tell(int32_t descriptor, uint64_t *position);

#endif
