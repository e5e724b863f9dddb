/* The container {{name}}: counts, and publishes the count every few seconds. */
#include "coracle.h"

/* The container's state. It moves with the container. */
static uint32_t timer;
static uint32_t count;

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

/* Starts the timer that the configuration asks for; 0 or an error. */
static int32_t start(void)
{
    uint64_t period = period_us();
    if (period == 0) {
        CORACLE_LOG(CORACLE_LOG_ERROR, "config: period_s is no number of seconds above 0");
        return -CORACLE_INVALID;
    }
    int32_t set = coracle_time_set_timer(period, period, 0);
    if (set < 0)
        return set;
    timer = (uint32_t)set;
    return 0;
}

/* Called once in the container's life. */
CORACLE_EXPORT("init") int32_t init(void)
{
    CORACLE_LOG(CORACLE_LOG_INFO, "{{name}} started");
    return start();
}

/* Called for one event at a time. A negative result ends the container. */
CORACLE_EXPORT("on_event") int32_t on_event(int32_t kind, int32_t source, int32_t len)
{
    /* The manifest grants this topic. */
    static const char topic[] = "count";
    (void)source;
    (void)len;
    switch (kind) {
    case CORACLE_EVENT_TIMER:
        count++;
        return coracle_msg_publish(topic, sizeof topic - 1, &count, sizeof count);
    case CORACLE_EVENT_CONFIG:
        /* The configuration changed while the container runs. */
        coracle_time_cancel(timer);
        return start();
    default:
        return 0;
    }
}
