/*
 * Blinks: a timer switches an output pin, and a message sets how fast. An example in event style.
 *
 * Manifest: `grants.pins` has `led` as an output, `grants.subscribe` has the topic of the period, in milliseconds as
 * decimal text; `config.period_ms` is the first period, 500 if left out.
 */
#include "coracle.h"

static uint32_t pin;
static uint32_t timer;
static uint32_t level;

/* The number that `text` is, or 0 for what is none. */
static uint32_t number(const char *text, int32_t len)
{
    uint32_t value = 0;
    for (int32_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || value > 99999999)
            return 0;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    return value;
}

/* Starts the timer; 0 or an error. */
static int32_t start(uint32_t period_ms)
{
    uint64_t period_us = (uint64_t)period_ms * 1000;
    int32_t set = coracle_time_set_timer(period_us, period_us, period_us / 10);
    if (set < 0)
        return set;
    timer = (uint32_t)set;
    return 0;
}

CORACLE_EXPORT("init") int32_t init(void)
{
    char text[8];
    uint32_t period_ms = 500;
    int32_t len = coracle_config_get("period_ms", 9, text, sizeof text);
    if (len >= 0)
        period_ms = len <= (int32_t)sizeof text ? number(text, len) : 0;
    if (period_ms == 0) {
        CORACLE_LOG(CORACLE_LOG_ERROR, "config: period_ms is no number of milliseconds above 0");
        return -CORACLE_INVALID;
    }
    int32_t opened = coracle_gpio_open("led", 3);
    if (opened < 0)
        return opened;
    pin = (uint32_t)opened;
    return start(period_ms);
}

CORACLE_EXPORT("on_event") int32_t on_event(int32_t kind, int32_t source, int32_t len)
{
    (void)source;
    if (kind == CORACLE_EVENT_TIMER) {
        level = !level;
        return coracle_gpio_write(pin, level);
    }
    if (kind == CORACLE_EVENT_MESSAGE) {
        char text[8];
        uint32_t period_ms = 0;
        if (len <= (int32_t)sizeof text)
            period_ms = number(text, coracle_event_read(text, sizeof text));
        if (period_ms == 0) {
            CORACLE_LOG(CORACLE_LOG_WARN, "a message that is no number of milliseconds above 0");
            return 0;
        }
        coracle_time_cancel(timer);
        return start(period_ms);
    }
    return 0;
}
