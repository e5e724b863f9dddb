/*
 * Says on standard output how many messages came in each period, for as many periods as the manifest says, and then
 * exits. An example in command style: it waits where it needs to, and uses WASI for arguments, output and exit code.
 *
 * Manifest: `grants.subscribe` has the topics to count, `args` is how many periods; 3 if left out. A period is a second.
 */
#include "coracle_wasi.h"

#define PERIOD_US 1000000
#define ARGS_BYTES 128
#define ARGS_COUNT 4

/* Writes text; what cannot be written is lost. */
static void print(const char *text, size_t len)
{
    struct wasi_iovec piece = {(void *)text, len};
    size_t written;
    wasi_fd_write(WASI_STDOUT, &piece, 1, &written);
}

static void print_line(const char *text, size_t len, uint32_t number)
{
    char digits[11];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    print(text, len);
    print(digits + at, sizeof digits - at);
}

/* The first argument behind the name, 3 without one, 0 if it is no number. */
static uint32_t periods(void)
{
    static char bytes[ARGS_BYTES];
    static char *args[ARGS_COUNT];
    size_t count, size;
    if (wasi_args_sizes_get(&count, &size) != 0 || count > ARGS_COUNT || size > ARGS_BYTES)
        return 0;
    if (count < 2)
        return 3;
    if (wasi_args_get(args, bytes) != 0)
        return 0;
    uint32_t value = 0;
    for (const char *c = args[1]; *c != 0; c++) {
        if (*c < '0' || *c > '9' || value > 9999)
            return 0;
        value = value * 10 + (uint32_t)(*c - '0');
    }
    return value;
}

CORACLE_EXPORT("_start") void start(void)
{
    uint32_t left = periods();
    if (left == 0) {
        static const char usage[] = "the argument is the number of periods, 1 to 99999\n";
        print(usage, sizeof usage - 1);
        wasi_proc_exit(2);
    }
    while (left > 0) {
        uint32_t messages = 0;
        uint64_t end_us = coracle_time_now() + PERIOD_US;
        for (;;) {
            struct coracle_event event;
            uint64_t now_us = coracle_time_now();
            int32_t result = -CORACLE_TIMED_OUT;
            if (now_us < end_us)
                result = coracle_msg_wait((int64_t)(end_us - now_us), &event);
            if (result == -CORACLE_TIMED_OUT)
                break;
            if (result < 0)
                wasi_proc_exit(-result);
            messages++;
        }
        print_line("messages: ", 10, messages);
        left--;
    }
}
