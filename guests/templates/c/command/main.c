/* The container {{name}}: counts, and publishes the count every few seconds. */
#include "coracle_wasi.h"

/* The configured period in microseconds, or 0 if there is none. */
static uint64_t period_us(void)
{
    static const char key[] = "period_s";
    char text[8];
    uint64_t period_s = 0;
    int32_t len = coracle_config_get(key, sizeof key - 1, text, sizeof text);
    if (len > (int32_t)sizeof text)
        return 0;
    for (int32_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        period_s = period_s * 10 + (uint64_t)(text[i] - '0');
    }
    return period_s * 1000000;
}

/* Runs from start to end. While it waits, the core does something else. */
CORACLE_EXPORT("_start") void start(void)
{
    /* The manifest grants this topic. */
    static const char topic[] = "count";
    uint32_t count = 0;
    CORACLE_LOG(CORACLE_LOG_INFO, "{{name}} started");
    for (;;) {
        struct coracle_event event;
        uint64_t period = period_us();
        if (period == 0) {
            CORACLE_LOG(CORACLE_LOG_ERROR, "config: period_s is no number of seconds above 0");
            wasi_proc_exit(CORACLE_INVALID);
        }
        /* A change of the configuration ends the wait early. */
        int32_t result = coracle_event_wait(1u << CORACLE_EVENT_CONFIG, (int64_t)period, &event);
        if (result == -CORACLE_TIMED_OUT) {
            count++;
            result = coracle_msg_publish(topic, sizeof topic - 1, &count, sizeof count);
        }
        if (result < 0)
            wasi_proc_exit(-result);
    }
}
